"""The graded server: one that already runs, or one that we start, watch and restart.

A server that we start gets the environment of the caller without secrets, plus the settings that
the suites need; the report prints the `given` ones. It is stopped with its whole process group.
"""

from __future__ import annotations

import os
import re
import secrets
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from course.catalog.stages import ROOT, CourseError
from course.harness.exchange import mask
from course.harness.learners import LearnersServer, Solution
from course.harness.profile import Profile
from course.harness.server import (
    FIRST_ADMIN,
    FIRST_STAGE_WITH_A_DATABASE,
    FIRST_STAGE_WITH_LIMITS,
    FIRST_STAGE_WITH_ROLES,
    FIRST_STAGE_WITH_USERS,
    LaunchedServer,
    ServerDidNotStart,
)
from course.harness.weather import FIRST_STAGE_WITH_WEATHER, FakeWeather
from tools.grade.outcomes import log_end
from tools.grade.sandbox import Sandbox

FAKE_WEATHER = "http://127.0.0.1:8090"  # the default address of `python3 noxfile.py fake-weather`
ANSWERS_WITHIN = 5.0  # seconds, for a server that should be up
MOST_RESTARTS = 20
LOG_LINES = 20

_SECRET = re.compile(r"SECRET|TOKEN|PASSWORD|PASSWD|CREDENTIAL|PRIVATE|API_?KEY|ACCESS_KEY", re.I)
_OF_OURS = {
    "VIRTUAL_ENV",
    "PYTHONPATH",
    "PYTHONHOME",
    "DATABASE_URL",
    "REDIS_URL",
    "NOX_CURRENT_SESSION",
    "PYTHONPYCACHEPREFIX",
}
_SHOWN_SECRETS = {"FIRST_ADMIN_PASSWORD"}  # of a server that lives for a minute


class NotReached(Exception):
    """No server can be graded. The message is shown to the user."""


@dataclass
class Running:
    """A server during its grade."""

    base_url: str
    log: Path | None = None
    solution: Path | None = None
    weather: str | None = None
    admin: tuple[str, str] | None = None
    given: Mapping[str, str] = field(default_factory=dict)
    ends: list[int | None] = field(default_factory=list)
    note: str = ""

    def log_tail(self) -> str:
        """Return the last lines of its log, if we can read it."""
        if self.log is None or not self.log.exists():
            return ""
        text = self.log.read_bytes()[-65_536:].decode("utf-8", "replace")
        return mask(log_end(text, LOG_LINES))


def settings_for(stage: int, directory: Path) -> dict[str, str]:
    """Return the settings that the suites need for a solution of this stage; it may ignore them."""
    settings = {}
    if stage >= FIRST_STAGE_WITH_A_DATABASE:
        settings["DATABASE_URL"] = f"sqlite+aiosqlite:///{(directory / 'todo.db').as_posix()}"
    if stage >= FIRST_STAGE_WITH_USERS:
        settings["JWT_SECRET"] = secrets.token_urlsafe(48)
        settings["BCRYPT_ROUNDS"] = "4"
        settings["MEDIA_DIR"] = str(directory / "media")
    if stage >= FIRST_STAGE_WITH_WEATHER:
        settings["WEATHER_LOOKUPS_PER_MINUTE"] = "100000"
    if stage >= FIRST_STAGE_WITH_ROLES:
        settings |= FIRST_ADMIN
    if stage >= FIRST_STAGE_WITH_LIMITS:
        settings |= {"RATE_LIMIT_AUTH": "100000/minute", "RATE_LIMIT_WEATHER": ""}
    return settings


def environment_of(solution_directory: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the caller's environment without secrets and without our own Python.

    A virtual environment `.venv` beside the solution is used as if it were activated.
    """
    ours = {str(Path(sys.prefix, "bin")), str(Path(sys.executable).parent), str(ROOT / ".venv/bin")}
    path = [part for part in environment.get("PATH", "").split(os.pathsep) if part not in ours]
    programs = solution_directory / ".venv" / ("Scripts" if os.name == "nt" else "bin")
    if programs.is_dir():
        path.insert(0, str(programs.resolve()))
    kept = {
        name: value
        for name, value in environment.items()
        if name not in _OF_OURS and not _SECRET.search(name)
    }
    # A restart must find the directory as it was: no bytecode appears in it.
    return kept | {
        "PATH": os.pathsep.join(path),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


@contextmanager
def launched(
    command: Sequence[str],
    directory: Path,
    stage: int,
    workplace: Path,
    *,
    changes: Mapping[str, str | None],
    port: int | None,
    within: float,
    sandbox: Sandbox | None = None,
) -> Iterator[Running]:
    """Start a solution, and from stage 6 on a weather provider; raise `NotReached` if it fails.

    `changes` are the caller's other settings (None removes one).
    """
    if not directory.is_dir():
        raise NotReached(f"no such directory: {directory}")
    with ExitStack() as stack:
        data = workplace / "data" if sandbox else workplace
        settings = settings_for(stage, data)
        weather = None
        if stage >= FIRST_STAGE_WITH_WEATHER:
            weather = stack.enter_context(fake_weather(workplace / "weather"))
            settings |= FakeWeather(weather).settings()
        settings = {name: value for name, value in settings.items() if name not in changes}
        settings |= {name: value for name, value in changes.items() if value is not None}
        environment, note = environment_of(directory, os.environ), ""
        if sandbox:
            reach = [int(weather.rpartition(":")[2])] if weather else []
            confined = stack.enter_context(
                sandbox.confined(command, directory, environment, workplace, data, reach)
            )
            command, environment, note = confined.command, confined.environment, confined.note
        solution = Solution(
            command=tuple(command),
            directory=str(directory.resolve()),
            environment=environment | settings,
            port=port,
        )
        server = LearnersServer(solution, workplace)
        stack.callback(server.end)  # an interrupt may come before it has started
        try:
            server.start(within=within)
        except ServerDidNotStart as error:
            # A roster shows only the last line.
            late = f"\nIt did not answer within {within:.0f} s." if error.exit_code is None else ""
            raise NotReached(f"{error}{late}") from error
        except FileNotFoundError as error:
            raise NotReached(
                f"no such command {command[0]}: make a `.venv` in {directory}, or give its path"
            ) from error
        except OSError as error:
            raise NotReached(f"{command[0]}: {error.strerror or error}") from error
        file = workplace / "solution.json"
        solution.write(file)
        admin = tuple(settings[name] for name in FIRST_ADMIN if name in settings)
        shown = {
            n: v if n in _SHOWN_SECRETS or not _SECRET.search(n) else "…"
            for n, v in settings.items()
        }
        running = Running(
            server.base_url, server.log_file, file, weather,
            (admin[0], admin[1]) if len(admin) == len(FIRST_ADMIN) else None, shown, note=note,
        )  # fmt: skip
        with _kept_alive(server, running.ends):
            yield running


@contextmanager
def attached(base_url: str, stage: int, weather: str | None) -> Iterator[Running]:
    """Use a server that is up; `NotReached` when nothing answers there."""
    address = httpx.URL(base_url)
    if address.scheme not in ("http", "https") or not address.host:
        raise NotReached(f"--base-url is not the address of a server: {base_url}")
    until = time.monotonic() + ANSWERS_WITHIN
    while (problem := _says_nothing(base_url)) and time.monotonic() < until:
        time.sleep(0.5)
    if problem:
        raise NotReached(f"nothing usable answers at {base_url}: {problem}")
    if weather is None and stage >= FIRST_STAGE_WITH_WEATHER and _is_fake(FAKE_WEATHER):
        weather = FAKE_WEATHER
    yield Running(base_url.rstrip("/"), weather=weather)


def absent_stages(base_url: str, stage: int, profile: Profile) -> dict[int, str]:
    """Return the earlier stages that a solution does not have at all, each with the evidence.

    A learner may solve one assignment alone, so these stages are not failures.
    """
    places = {1: "/todos", 3: "/users/me", 4: "/images", 5: "/jobs", 6: "/weather", 7: "/posts"}
    absent: dict[int, str] = {}
    with httpx.Client(base_url=base_url, trust_env=False, timeout=ANSWERS_WITHIN) as client:
        for number, place in places.items():
            if number >= stage:
                break
            path = profile.path(place)
            try:
                with client.stream("GET", path) as answer:  # its body may have no end
                    status = answer.status_code
            except httpx.HTTPError:
                continue  # it exists, but is broken
            if status == httpx.codes.NOT_FOUND:
                absent[number] = f"there is no {path} here: this solution is one assignment"
    if 1 in absent and stage > FIRST_STAGE_WITH_A_DATABASE:
        absent[2] = absent[1]
    return absent


def _says_nothing(base_url: str) -> str:
    """Return why a server does not answer; empty if it gives any answer."""
    try:
        with httpx.stream("GET", base_url, trust_env=False, timeout=ANSWERS_WITHIN):
            return ""
    except httpx.HTTPError as error:
        return str(error) or type(error).__name__


def _is_fake(url: str) -> bool:
    try:
        return FakeWeather(url).modes() != []
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return False


@contextmanager
def fake_weather(directory: Path) -> Iterator[str]:
    """Run a weather provider; yield its address."""
    command = (sys.executable, "-m", "course.harness.fake_weather", "--port", "{port}")
    provider = LaunchedServer(command, directory, working_directory=ROOT)
    try:
        provider.start()
    except ServerDidNotStart as error:
        raise CourseError(str(error)) from error
    try:
        yield provider.base_url
    finally:
        provider.end()


@contextmanager
def _kept_alive(server: LearnersServer, ends: list[int | None]) -> Iterator[None]:
    """Restart the server whenever it ends, so that only the test that ended it fails."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.2):
            if server.exit_code is None:
                continue
            ends.append(server.exit_code)
            server.end()
            if len(ends) > MOST_RESTARTS:
                return
            try:
                server.start()
            except (ServerDidNotStart, OSError):
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        # The thread may be restarting the server now; it ends when the server ends.
        while watcher.is_alive():
            server.end()
            watcher.join(0.2)
