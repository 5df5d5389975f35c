"""The production topology without Docker, for `python3 noxfile.py stack` and the drills.

Why not honcho or circus: honcho starts and ends everything at once. circus starts in order, but
adds a daemon with its own sockets. Here the order matters: servers, the migration, then the
programs that need both, each starts when the one before is *ready*. The tests' harness already has
the rest.
"""
