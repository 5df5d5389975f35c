"""The base of the suites: the app as a process, a driver that sends requests, and failure reports.

Nothing here imports the app. pytest loads `plugin`; `server` starts and stops processes, `driver`
sends requests, and `exchange` records them. `raw_http` sends requests that client libraries refuse,
and `waiting` waits with a deadline and runs calls at once.
"""
