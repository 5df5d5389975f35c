"""Grades anybody's solution, in any language: the suites of `tests/` from outside, and a report.

    python -m tools.grade --stage 3 --base-url http://127.0.0.1:8000
    python -m tools.grade --stage 3 --cmd "uvicorn main:app --port {port}" --cwd ../my-solution

A solution is judged by what it answers over HTTP and WebSocket. What a client cannot see is not
checked, and the report says so. Whatever a server does, the end is a report: exit code 0 when all
that could be checked is right, 1 when something is not, 2 when nothing could be found out.
"""
