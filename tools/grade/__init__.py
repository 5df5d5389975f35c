"""Grades a solution in any language: it runs the suites of `tests/` against it and writes a report.

    python -m tools.grade --stage 3 --base-url http://127.0.0.1:8000
    python -m tools.grade --stage 3 --cmd "uvicorn main:app --port {port}" --cwd ../my-solution

A grade depends only on answers over HTTP and WebSocket. The report says that everything else is not
checked. For every behaviour of a server there is a report. The exit code is 0 when every checked
row passes, 1 when one fails, and 2 when nothing could be checked.
"""
