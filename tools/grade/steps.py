"""The operations that tests build on, and the row of each.

A test of row 1.2 that cannot create a todo says nothing about row 1.2. The innermost function of
this table in the traceback of a failure names the requirement that really failed.
"""

from __future__ import annotations

from collections.abc import Iterable

STEPS = {
    "harness/driver.py": {
        "create_todo": "1.3",
        "get_todo": "1.2",
        "list_todos": "1.1",
        "every_todo": "1.1",
        "replace_todo": "1.5",
        "patch_todo": "1.5",
        "delete_todo": "1.4",
        "_register": "3.1",
        "_sign_in": "3.2",
    },
    "stage03/accounts.py": {"new_account": "3.1", "token_of": "3.2"},
    "stage04/uploads.py": {"new_image": "4.1"},
    "stage05/jobs.py": {
        "accepted": "5.1",
        "read": "5.6",
        "listed": "5.6",
        "ended": "5.2",
        "has_status": "5.2",
        "succeeded": "5.2",
    },
    "stage07/people.py": {
        "new_person": "3.1",
        "person": "3.2",
        "first_admin": "7.3",
        "give_role": "7.3",
        "write_post": "7.1",
        "read": "7.1",
        "posts": "7.1",
        "comment_on": "7.2",
        "comments": "7.2",
        "delete": "7.7",
        "restore": "7.7",
    },
    "stage08/chat.py": {
        "open_socket": "8.1",
        "person": "8.1",
        "message": "8.2",
        "who_is": "3.4",
        "history": "8.5",
    },
}


def step_of(frames: Iterable[tuple[str, str]]) -> str:
    """Return the requirement of the innermost step; `frames` are files and functions, outer first.

    Empty when the test's own assertion failed.
    """
    step = ""
    for file, function in frames:
        place = "/".join(file.replace("\\", "/").split("/")[-2:])
        step = STEPS.get(place, {}).get(function, step)
    return step
