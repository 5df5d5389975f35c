"""The production topology without Docker: what `python3 noxfile.py stack` runs, and the drills break.

Why not honcho or circus: honcho starts and ends everything at once; circus starts in an order, but
brings a daemon with sockets of its own. Here the order is the point (servers, migration, what needs
both, each when the one before is *ready*), and the harness of the tests has all the rest already.
"""
