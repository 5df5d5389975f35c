"""The plugin of pytest: options, fixtures and the report of a failure.

    pytest --stage 2                               launch stage 2, run its suite and earlier ones
    pytest --stage 2 --base-url http://host:8000   the same tests against a server that is up

Against a running server, tests that must own the process are skipped as *not checked*.
"""

from __future__ import annotations

import gc
import signal
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import httpx
import pytest

from course.catalog.requirements import load_requirements
from course.catalog.stages import ROOT, CourseError, Stage, find_stage, load_course
from course.harness import profile
from course.harness.driver import Api
from course.harness.exchange import forget, report_sections
from course.harness.forks import share, shared_directory
from course.harness.learners import NEEDS_CMD, LearnersServer, Solution
from course.harness.selection import (
    FULL,
    MARKERS,
    QUICK,
    longest_file_first,
    longest_first,
    quick_selection,
)
from course.harness.server import (
    AttachedServer,
    LaunchedServer,
    Server,
    ServerDidNotStart,
    kill_running_servers,
    stage_server,
)
from course.harness.tokens import is_signed_with

if TYPE_CHECKING:  # pytest imports a plugin and explains its assertions
    from course.harness.deployment import Deployment

pytest_plugins = [
    "course.harness.queue",
    "course.harness.weather",
    "course.harness.deployment",
    "course.harness.identifiers",
    "course.harness.scheduling",
]

NOT_CHECKED = "not checked: needs control of the server process"
_POLL = 0.02  # seconds between two checks of a server that is starting
SHORTENED = {"JOB_LEASE": "3"}  # seconds until a job of a killed server is taken up again
OTHER_SECRET = "not checked: the server does not sign its tokens with the JWT_SECRET it was given"
# With `--solution` there is a process, but its inside belongs to the learner.
NOT_INSIDE = "not checked: needs the course's own app, since the test reads its database and log"
NOT_OTHERWISE = (
    "not checked: needs the course's own app, since the test starts it with other settings"
)
NO_USERS = "not checked: needs users, and this server has none"

_STAGE = pytest.StashKey[Stage]()
_ENDED = pytest.StashKey[list[str]]()
_SUITES = pytest.StashKey[dict[str, int]]()
_OF_ROWS = pytest.StashKey[set[str] | None]()  # the tests of the rows that `--row` names


class Launch(Protocol):
    """Makes private servers of the stage under test; they end with the test."""

    def __call__(self, *, start: bool = True, **settings: str) -> LaunchedServer:
        """Return a server with these settings, running unless `start` is false.

        In the full form a running server gets a migrated database; otherwise it is empty.
        """


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options for the app under test."""
    group = parser.getgroup("the app under test")
    group.addoption("--stage", metavar="N", help="the stage to test (default: the furthest)")
    group.addoption(
        "--base-url", metavar="URL", help="test the server at this address and start none"
    )
    group.addoption(
        "--base-url-within",
        metavar="SECONDS",
        type=float,
        default=0.0,
        help="how long to wait for that server, which may be starting (default: not at all)",
    )
    group.addoption(
        "--solution", metavar="FILE", help="the command that starts another instance of that server"
    )
    group.addoption("--profile", metavar="FILE", help="other names of paths and fields in its API")
    group.addoption(
        "--inherited",
        choices=(QUICK, FULL),
        default=QUICK,
        help="how much of the suites of earlier stages runs (default: quick)",
    )
    group.addoption(
        "--row",
        action="append",
        metavar="ROW",
        help="only the tests of this requirement, such as 3.1 (may be given several times)",
    )
    group.addoption("--admin-username", metavar="NAME", help="an administrator of that server")
    group.addoption("--admin-password", metavar="PASSWORD", help="the administrator's password")


def pytest_configure(config: pytest.Config) -> None:
    """Find the stage and register the markers; raise `pytest.UsageError` for an unknown stage."""
    config.addinivalue_line(
        "markers",
        "until(stage, successor): the requirement ends after that stage; `successor` replaces it.",
    )
    config.addinivalue_line("markers", "users: needs different users; a server may have none.")
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    try:
        if config.getoption("profile"):
            profile.activate(profile.load_profile(Path(config.getoption("profile"))))
        stages = load_course()
        wanted = config.getoption("stage")
        stage = find_stage(stages, wanted) if wanted else stages[-1]
        config.stash[_OF_ROWS] = _tests_of_rows(config.getoption("row") or ())
    except (CourseError, profile.ProfileError, ValueError) as error:
        raise pytest.UsageError(str(error)) from error
    config.stash[_STAGE] = stage
    config.stash[_SUITES] = {stage.name: stage.number for stage in stages}
    config.stash[_ENDED] = []
    if hasattr(config, "workerinput"):  # set by pytest-xdist
        config.pluginmanager.register(LongestFirst(share_files=config.workerinput["share_files"]))
        share(Path(config.workerinput["fork_servers"]))
    else:
        config.pluginmanager.register(SharedForkServers())
    # A SIGTERM (from CI, from nox) ends pytest and its servers like a Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _tests_of_rows(wanted: Sequence[str]) -> set[str] | None:
    """Return the tests of these rows, without parameters; None when no row is wanted."""
    if not wanted:
        return None
    rows = {row.id: row for row in load_requirements()}
    if unknown := [row for row in wanted if row not in rows]:
        raise ValueError(f"--row {unknown[0]}: there is no such row")
    return {test for row in wanted for test in rows[row].tests}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `--row`, import only files that hold tests of the row."""
    chosen = config.stash[_OF_ROWS]
    if chosen is None or not collection_path.name.startswith("test_"):
        return None
    files = {test.partition("::")[0] for test in chosen}
    if collection_path.relative_to(ROOT).as_posix() in files:
        return None
    return True


def pytest_keyboard_interrupt() -> None:
    """Kill the servers, since an interrupt may leave no time for a graceful stop."""
    kill_running_servers()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without the garbage collector: thousands of items stay, and it finds nothing.

    The collector would check all of them dozens of times, in each worker, and again at the end.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Remove the tests that do not apply to the stage, and those that it need not repeat."""
    stage, suites = config.stash[_STAGE], config.stash[_SUITES]
    chosen = config.stash[_OF_ROWS]
    kept: list[pytest.Item] = []
    dropped: list[pytest.Item] = []
    for item in items:
        until = item.get_closest_marker("until")
        ended = until is not None and stage.number > until.kwargs["stage"]
        if ended and until is not None:
            config.stash[_ENDED].append(f"{item.name} → row {until.kwargs['successor']}")
        suite = suites.get(item.path.parent.name, 0)
        of_row = chosen is None or item.nodeid.partition("[")[0] in chosen
        runs = of_row and not ended and suite <= stage.number
        (kept if runs else dropped).append(item)
    if config.getoption("inherited") == QUICK:
        selected = quick_selection(kept, stage)
        dropped += set(kept).difference(selected)
        kept = selected
    if dropped:
        items[:] = kept
        config.hook.pytest_deselected(items=dropped)


class SharedForkServers:
    """In the process that hands out tests: one import of the packages serves all workers."""

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell each worker where the fork servers are, and whether it runs whole files."""
        node.workerinput["fork_servers"] = str(shared_directory())
        node.workerinput["share_files"] = node.config.getoption("dist") == "loadgroup"


class LongestFirst:
    """In a worker of `pytest-xdist`: puts the files, or the tests, that take longest first."""

    def __init__(self, *, share_files: bool) -> None:
        self._share_files = share_files

    @pytest.hookimpl(trylast=True)  # after the random order, which it keeps within each file
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Order the tests."""
        items[:] = longest_first(items) if self._share_files else longest_file_first(items)


def pytest_report_header(config: pytest.Config) -> str:
    """Return the line that names the tested app."""
    stage = config.stash[_STAGE]
    where = config.getoption("base_url") or stage.directory
    return f"stage {stage.number}: {where}"


def pytest_report_collectionfinish(config: pytest.Config) -> list[str]:
    """List the tests that no longer apply to the stage."""
    return [f"ended before this stage: {ended}" for ended in config.stash[_ENDED]]


@pytest.fixture(scope="session")
def stage(request: pytest.FixtureRequest) -> int:
    """The number of the stage under test."""
    return request.config.stash[_STAGE].number


@pytest.fixture(scope="session")
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """The server that all tests share: started here, or the one at `--base-url`."""
    base_url = request.config.getoption("base_url")
    if base_url:
        attached = AttachedServer(base_url)
        until = time.monotonic() + request.config.getoption("base_url_within")
        while True:
            try:
                _ = attached.has_users
                break
            except httpx.HTTPError as error:
                if time.monotonic() > until:
                    pytest.exit(f"nothing usable answers at {base_url}: {error}", returncode=1)
                time.sleep(_POLL)
        yield attached
        return
    stage = request.config.stash[_STAGE]
    try:
        settings = request.getfixturevalue("provider_settings")
        deployment: Deployment = request.getfixturevalue("deployment")
        directory = tmp_path_factory.mktemp("server")
        # Forked: tests/stage01/test_standalone.py starts each stage by the command of its page.
        launched = stage_server(
            stage, directory, processes=deployment.processes, forked=True, **settings
        )
        deployment.prepare(launched)
        request.getfixturevalue("queue").serve(launched)
        launched.start()
    except (ServerDidNotStart, CourseError) as error:
        # Every test would fail for this reason, so report it once.
        pytest.exit(str(error), returncode=1)
    yield launched
    launched.stop()


@pytest.fixture(scope="session")
def launched_server(request: pytest.FixtureRequest, server: Server) -> LaunchedServer:
    """The shared server, for a test that reads its files or its log."""
    if not isinstance(server, LaunchedServer):
        pytest.skip(_why_not(request, NOT_INSIDE))
    return server


@pytest.fixture
def api(server: Server) -> Iterator[Api]:
    """A driver of the shared server, signed in as a new user if the app has users."""
    mark = server.log_mark()
    with Api(server) as visitor:
        yield visitor.as_new_user()
    assert "Traceback (most recent call last)" not in server.log_since(mark), (
        "the server logged a traceback while this test ran"
    )


def _why_not(request: pytest.FixtureRequest, of_a_solution: str) -> str:
    return of_a_solution if request.config.getoption("solution") else NOT_CHECKED


def _launch(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Launch]:
    if request.config.getoption("base_url"):
        pytest.skip(_why_not(request, NOT_OTHERWISE))
    provider_settings = request.getfixturevalue("provider_settings")
    deployment: Deployment = request.getfixturevalue("deployment")

    with ExitStack() as servers:

        def make(*, start: bool = True, **settings: str) -> LaunchedServer:
            directory = tmp_path_factory.mktemp("private")
            beside: dict[str, str] = {}
            if not {"DATABASE_URL", "REDIS_URL"} <= settings.keys():
                surroundings = deployment.surroundings(directory, migrated=start)
                beside = servers.enter_context(surroundings)
            everything = provider_settings | beside | settings
            server = stage_server(
                request.config.stash[_STAGE],
                directory,
                forked="PYTHONPATH"
                not in settings,  # existing modules are imported at the very start
                **everything,
            )
            servers.callback(server.end)
            if start:
                server.start()
            return server

        yield make


launch = pytest.fixture(_launch, name="launch")
launch.__doc__ = "A maker of private servers, for tests that stop, kill or misconfigure one."
launch_for_module = pytest.fixture(_launch, scope="module", name="launch_for_module")
launch_for_module.__doc__ = "The same, for servers that the tests of one file share."
launch_for_session = pytest.fixture(_launch, scope="session", name="launch_for_session")
launch_for_session.__doc__ = "Like `launch`, for servers that all tests share."


@pytest.fixture(scope="session")
def _second_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LaunchedServer]:
    if not request.config.getoption("solution"):
        if request.config.getoption("base_url"):
            pytest.skip(NEEDS_CMD)
        launch: Launch = request.getfixturevalue("launch_for_session")
        yield launch(start=True, **SHORTENED)
        return
    with start_another(request.config, tmp_path_factory.mktemp("restartable")) as server:
        yield server


@contextmanager
def start_another(
    config: pytest.Config, directory: Path, **settings: str
) -> Iterator[LearnersServer]:
    """Run a second instance of the solution under test, with its own database and pictures.

    Skips the test if it does not start.
    """
    server = _another(config, directory)
    server.settings |= settings
    try:
        server.start()
    except ServerDidNotStart as error:
        pytest.skip(f"not checked: a second instance does not start beside the first: {error}")
    try:
        yield server
    finally:
        server.end()


def _another(config: pytest.Config, directory: Path) -> LearnersServer:
    solution = Solution.read(Path(config.getoption("solution")))
    if solution.port is not None:
        pytest.skip("not checked: the solution uses a fixed port and already runs there")
    server = LearnersServer(solution, directory)
    own = {
        "DATABASE_URL": f"sqlite+aiosqlite:///{(directory / 'todo.db').as_posix()}",
        "MEDIA_DIR": str(directory / "media"),
        "DATA_DIR": str(directory),
    }
    for name, value in own.items():
        if name in solution.environment:
            scheme = solution.environment[name].partition(":///")[0]
            server.settings[name] = value.replace("sqlite+aiosqlite", scheme, 1)
    return server


@pytest.fixture
def restartable(_second_server: LaunchedServer) -> LaunchedServer:
    """A second running server, for tests that restart and kill it and read its log.

    All tests share it. With `--solution` it is a second instance of the solution, with its own
    database and directory of pictures.
    """
    if not _second_server.is_running:
        _second_server.end()
        _second_server.start()
    return _second_server


@pytest.fixture
def secret(request: pytest.FixtureRequest, server: Server) -> str:
    """The secret that the shared server signs its tokens with.

    A solution may ignore the setting, so a control token checks it.
    """
    if isinstance(server, LaunchedServer):
        return server.settings["JWT_SECRET"]
    if not request.config.getoption("solution"):
        pytest.skip(NEEDS_CMD)
    solution = Solution.read(Path(request.config.getoption("solution")))
    given = solution.environment.get("JWT_SECRET", "")
    with Api(server) as visitor:
        if not given or not is_signed_with(visitor.as_new_user().token or "", given):
            pytest.skip(OTHER_SECRET)
    return given


@pytest.fixture(autouse=True)
def _users_if_needed(request: pytest.FixtureRequest) -> None:
    """Skip a test that needs different users on a server without users."""
    if request.node.get_closest_marker("users") and not request.getfixturevalue("server").has_users:
        pytest.skip(NO_USERS)


@pytest.fixture(scope="session")
def stage_directory(request: pytest.FixtureRequest) -> Path:
    """The directory of the stage under test, for tests that read its source."""
    if request.config.getoption("base_url"):
        pytest.skip("not checked: needs the source of the app")
    return ROOT / request.config.stash[_STAGE].directory


def pytest_runtest_logstart() -> None:
    """Forget the exchanges of the test before."""
    forget()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to a failure the exchanges with the server, and commands that repeat them."""
    report = yield
    if report.failed and report.when != "teardown":
        report.sections += report_sections()
    return report
