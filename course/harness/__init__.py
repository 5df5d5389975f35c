"""What the suites stand on: the app as a process, a driver that speaks to it, and failure reports.

Nothing here imports the app. `plugin` is what pytest loads; `server` starts and stops processes,
`driver` speaks HTTP, `exchange` remembers what was said, `raw_http` says what no client library
will, `waiting` waits with a deadline and runs calls at once.
"""
