"""A report shows a failure in words: the request and the line of the exception, and no `assert`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from course.catalog.environment import stage_python
from course.catalog.stages import find_stage, load_course
from course.harness import exchange
from course.harness.learners import LearnersServer, Solution
from course.harness.server import LaunchedServer, stage_server
from tools.grade.failures import LONGEST, expected_of, explain, short
from tools.grade.outcomes import Outcome
from tools.grade.tracebacks import Raised, exception_in
from tools.grade.words import say_value
from tools.tests.grade.test_plugin import run

STAGES = load_course()
FIRST, WITH_USERS = find_stage(STAGES, "1"), find_stage(STAGES, "3")


@pytest.mark.parametrize(
    ("said", "expected", "got"),
    [
        ("assert 404 == 200\n +  where 404 = <Response [404 Not Found]>.status_code", "200", "404"),
        ("POST /todos: expected 201, got 404 {}\nassert 404 == 201", "201", "404 {}"),
        ("assert 500 in {401, 403}", "one of {401, 403}", "500"),
        ("assert 'detail' in {'a': ' in b'}", "'detail' in it", "{'a': ' in b'}"),
        ("assert 'secret' not in 'a secret'", "no 'secret' in it", "'a secret'"),
        ("assert 'a == b' == 'c'", "'c'", "'a == b'"),
        ("assert 7 <= 5", "at most 5", "7"),
        ("assert 1 != 1", "anything but 1", "1"),
        ("assert None is not None", "anything but None", "None"),
        ("assert ['a', 'b'] == []\n\nLeft contains 2 more items, first extra item: 'a'", "nothing",
         "'a'"),
        ("assert {'a',... 'c'} == {'a',... 'd'}\n\nExtra items in the right set:\n'd'", "'d' in it",
         "an answer without it"),
        ("assert {'a': ...} == {'a': ...}\n\nDiffering items:\n{'a': 1} != {'a': 2}", "{'a': 2}",
         "{'a': 1}"),
        ("assert [1, ...] == [2, ...]\n\nAt index 0 diff: 1 != 2\nUse -v", "2", "1"),
        ("assert not ['left']", "nothing", "['left']"),
        ("a page begins anew\nassert {'id': 1} not in [{'id': 1}]", "no {'id': 1} in it",
         "[{'id': 1}] (a page begins anew)"),
        ("all of it\nassert False\n +  where False = all(<generator object at 0x7f>)", "",
         "all of it"),
        ("assert False\n +  where False = <built-in method startswith>('x')", "", ""),
        ("assert (1 == 2 and True)", "", ""),
    ],
)  # fmt: skip
def test_an_assertion_becomes_expected_and_actual(said: str, expected: str, got: str) -> None:
    exchange.forget()
    assert explain(AssertionError(said), f"AssertionError: {said}") == (expected, got)


def test_a_timeout_names_the_request_that_waits() -> None:
    exchange.forget()
    exchange.asking("GET", "http://127.0.0.1:8000/todos?limit=5")
    expected, got = explain(httpx.ReadTimeout("timed out"), "httpx.ReadTimeout: timed out")
    assert expected == "an answer to GET /todos?limit=5"
    assert got.startswith("nothing within ")
    late = TimeoutError("Timeout (>15.0s) from pytest-timeout.")
    assert explain(late, f"Failed: {late}")[0] == "an answer to GET /todos?limit=5"
    assert say_value(expected, "ru") == "ответ на GET /todos?limit=5"
    exchange.forget()


def test_a_report_shows_no_memory_address_and_no_long_text() -> None:
    assert short("{'x': <object object at 0x7f00>}") == "{'x': something else}"
    assert len(short("9" * 9_000)) < LONGEST + 5
    assert expected_of("404") == "404 Not Found"


def test_a_body_is_shortened_and_a_short_program_makes_it_again() -> None:
    body = exchange.Body.of(b'{"title":"' + b"x" * 1_048_577 + b'"}', to_make=True)
    assert body.briefly() == '{"title":"xxx…… (1048589 bytes in all)'
    assert body.program == "('{\"title\":\"' + 'x' * 1048577 + '\"}').encode()"
    assert exchange.Body.of(b"\xff\x00", to_make=True).program == r"b'\xff\x00'"
    assert exchange.Body.of(os.urandom(5_000), to_make=True).program == ""


UVICORN = """\
INFO:     127.0.0.1:1 - "GET /other HTTP/1.1" 500 Internal Server Error
ERROR:    Exception in ASGI application
Traceback (most recent call last):
  File "{place}/app/other.py", line 3, in other
    raise ValueError("before")
ValueError: before
INFO:     127.0.0.1:1 - "POST /auth/register HTTP/1.1" 500 Internal Server Error
ERROR:    Exception in ASGI application
  + Exception Group Traceback (most recent call last):
  |   File "/x/site-packages/starlette/_utils.py", line 79, in collapse
  |     yield
  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)
Traceback (most recent call last):
  File "/x/.venv/lib/python3.11/site-packages/uvicorn/protocols.py", line 409, in run
    result = await app(scope)
             ^^^^^^^^^^^^^^^^
  File "{place}/app/auth/router.py", line 41, in register
    store[body["username"]]
    ~~~~~^^^^^^^^^^^^^^^^^^
  File "/x/.venv/lib/python3.11/site-packages/dict.py", line 1, in get
    raise KeyError(key)
KeyError: 'ada'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "{place}/app/auth/router.py", line 43, in register
    raise RuntimeError("no such user") from None
RuntimeError: no such user
INFO:     127.0.0.1:1 - "GET /later HTTP/1.1" 200 OK
"""
NODE = """\
TypeError: Cannot read properties of undefined (reading 'title')
    at create (file:///w/solution/app/todos.mjs:12:20)
    at Server.<anonymous> (/w/solution/server.mjs:40:5)
    at node:events:518:28
"""


def test_only_the_exception_of_the_request_is_found_with_its_line() -> None:
    log = UVICORN.replace("{place}", "/w/solution")
    found = exception_in(log, "POST /auth/register", "/w/solution")
    source = 'raise RuntimeError("no such user") from None'
    assert found == Raised("RuntimeError: no such user", "app/auth/router.py:43", source)
    other = exception_in(log, "GET /other", "/w/solution")
    assert other is not None
    assert (other.exception, other.place) == ("ValueError: before", "app/other.py:3")
    assert exception_in(log, "GET /later", "/w/solution") is None


def test_an_exception_that_is_logged_before_its_request_is_found() -> None:
    traceback = UVICORN.partition("ASGI application\n")[2].partition("INFO:")[0]
    log = f'{traceback}127.0.0.1 - - [now] "POST /todos HTTP/1.1" 500 -\n'
    found = exception_in(log, "POST /todos", None)
    assert found is not None
    assert found.exception == "ValueError: before"


def test_an_error_of_node_is_found_with_its_line() -> None:
    found = exception_in(NODE, "POST /todos", "/w/solution")
    assert found is not None
    assert found.exception.startswith("TypeError: Cannot read properties")
    assert found.place == "app/todos.mjs:12"
    assert exception_in("a line\nError\n", "GET /", "/w") is None


def test_an_error_of_node_comes_with_its_line_of_code_and_with_no_other_file(
    tmp_path: Path,
) -> None:
    solution = tmp_path / "solution"
    solution.mkdir()
    (solution / "todos.js").write_text("one\n  const [two] = rows;\n", encoding="utf-8")
    (tmp_path / "secret.js").write_text("one\nof somebody else\n", encoding="utf-8")
    (solution / "link.js").symlink_to(tmp_path / "secret.js")

    def found_in(place: str) -> Raised | None:
        log = f"TypeError: rows is not iterable\n    at list (file://{place}:2:9)\n"
        return exception_in(log, "GET /todos", str(solution))

    error = "TypeError: rows is not iterable"
    found = found_in(f"{solution}/todos.js")
    assert found == Raised(error, "todos.js:2", "const [two] = rows;")
    for other in ("link.js", "../secret.js", "gone.js"):
        found = found_in(f"{solution}/{other}")
        assert found is not None
        assert found.source == ""


BROKEN = """\
from fastapi import FastAPI

app = FastAPI()


@app.get("/fine")
def fine() -> dict[str, int]:
    return {}


@app.get("/broken")
def broken() -> int:
    names = {}
    return names["ada"]
"""
ASKS = """
import pytest

pytestmark = pytest.mark.contract("T1")

def test_broken(server):
    from course.harness.driver import Api

    with Api(server) as api:
        api.request("GET", "/broken")
    with Api(server) as api:
        assert api.request("GET", "/broken").status_code == 200

def test_fine(server):
    from course.harness.driver import Api

    with Api(server) as api:
        assert api.request("GET", "/fine").status_code == 404
"""
SIGNED_IN = """
import pytest

pytestmark = pytest.mark.contract("T1")

def test_signed_in(server):
    from course.harness.driver import Api

    with Api(server) as visitor:
        api = visitor.as_new_user()
        assert api.request("GET", "/users/me").status_code == 418

def test_long(server):
    from course.harness.driver import Api

    with Api(server) as visitor:
        api = visitor.as_new_user()
        body = {"title": "x" * 2_000}
        assert api.request("POST", "/todos", json=body).status_code == 418

def test_mistyped(server):
    from course.harness.driver import Api

    with Api(server) as api:
        account = {"username": "mistyped", "password": "correct horse"}
        api.request("POST", "/auth/register", json=account)
        form = account | {"password": "incorrect horse"}
        assert api.request("POST", "/auth/token", data=form).status_code == 418

def test_wrong_password(server):
    from course.harness.driver import Api

    with Api(server) as api:
        form = {"username": "ada", "password": "of somebody real"}
        assert api.request("POST", "/auth/token", data=form).status_code == 418
"""


def only(outcomes: tuple[Outcome, ...], name: str) -> Outcome:
    """Return the outcome of one test."""
    return next(one for one in outcomes if one.test.endswith(name))


def test_a_5xx_shows_its_exception_and_the_line_and_no_other_failure_shows_the_log(
    tmp_path: Path,
) -> None:
    solution = tmp_path / "solution"
    solution.mkdir()
    (solution / "main.py").write_text(BROKEN, encoding="utf-8")
    command = (str(stage_python(FIRST)), "-m", "uvicorn", "main:app", "--port", "{port}")
    described = Solution(command, str(solution), dict(os.environ))
    described.write(tmp_path / "solution.json")
    server = LearnersServer(described, tmp_path)
    server.start()
    try:
        options = [f"--grade-log={server.log_file}", f"--solution={tmp_path / 'solution.json'}"]
        suite = run(tmp_path, "--stage=1", *options, base_url=server.base_url, stage01=ASKS)
    finally:
        server.end()
    broken, fine = only(suite.outcomes, "test_broken"), only(suite.outcomes, "test_fine")
    assert (broken.exception, broken.place) == ("KeyError: 'ada'", "main.py:14")
    assert broken.source == 'return names["ada"]'
    assert (broken.sent, broken.expected) == ("GET /broken", "200 OK")
    assert broken.got.startswith("500 ")
    assert (fine.exception, fine.log, fine.got) == ("", "", "200 {}")


@pytest.fixture(scope="module")
def with_users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LaunchedServer]:
    """A server with users, started like a learner's."""
    server = stage_server(WITH_USERS, tmp_path_factory.mktemp("users"), forked=True)
    server.start()
    yield server
    server.end()


@pytest.mark.skipif(sys.platform == "win32", reason="not checked: the commands are for a shell")
def test_the_curl_lines_work_as_pasted_with_the_password_that_is_shown(
    with_users: LaunchedServer, tmp_path: Path
) -> None:
    suite = run(tmp_path, "--stage=3", base_url=with_users.base_url, stage03=SIGNED_IN)

    def pasted(name: str) -> str:
        curl = only(suite.outcomes, name).curl
        done = subprocess.run(["bash", "-c", curl], capture_output=True, text=True, check=True)
        return done.stdout

    assert '"username":"user_' in pasted("test_signed_in")
    assert "HTTP/1.1 422" in pasted("test_long")
    assert "HTTP/1.1 401" in pasted("test_mistyped")
    assert "***" not in only(suite.outcomes, "test_mistyped").curl
    wrong = only(suite.outcomes, "test_wrong_password")
    assert "of somebody real" not in repr(wrong)
    curl = only(suite.outcomes, "test_signed_in").curl
    assert with_users.base_url in curl
    assert "***" not in curl
    assert "eyJ" not in curl
