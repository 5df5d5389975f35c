"""Requirement 2.1: an invalid setting is refused with an error that names it without its value.

The capstone also checks the spelling of URLs and unusual characters, and its command fails
without a traceback, for its operator.

Each setting is tried with bad values of its type at the stage that adds it, and with one of them at
later stages. One process tries all of them: the Alembic command reads the settings in the same way
as the server.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from course.harness.plugin import Launch
from course.harness.selection import FULL
from tests.stage02.reasons import CAPSTONE

pytestmark = [pytest.mark.craft, pytest.mark.deployment("plain")]

NO_TEXT = ["a\udcffb", "a\nb"]  # the first one has a byte that is not valid UTF-8
NO_NUMBER = ["", "abc", "1,5", "nan", "inf", "1e400", "-1", "9" * 30]
NO_INTEGER = [*NO_NUMBER, "1.5", "99999999999999999999"]
NO_SECONDS = [*NO_NUMBER, "999999999999"]
NO_RATE = ["x", "10", "10/", "0/hour", "-1/minute", "10/week", "1.5/hour", "9999999999/day"]
NO_ADDRESS = ["", "x", "ftp://h", "http://", "http://h:port", "http://h:99999999", "http://h/?a=b"]
NO_ORIGINS = [
    *("https://h/", "https://h/p", "h", "null", "HTTPS://H", "https://h:443", "http://h:80"),
    *("ftp://h", "https://*", "https://a b", "https://a,https://h/", "https://h:0", "https://ä"),
]


COMMON = {*NO_INTEGER, *NO_SECONDS, *NO_RATE, *NO_ADDRESS, *NO_ORIGINS}


@dataclass(frozen=True)
class Tried:
    """A setting, the first stage that has it, and its valid and invalid values."""

    name: str
    stage: int
    bad: list[str]
    good: list[str]

    def bad_values(self, turn: int, stage: int) -> list[str]:
        """Return its own bad values, and a third of the bad values that many settings share."""
        odd = [] if stage < CAPSTONE else NO_TEXT
        own = [value for value in self.bad if value not in COMMON]
        shared = [value for value in (*self.bad, *odd) if value in {*COMMON, *odd}]
        return own + shared[turn % 3 :: 3]

    def bad_value(self, turn: int) -> list[str]:
        """Return one bad value, if there is one: for a stage that has the setting from another."""
        return [self.bad[turn % len(self.bad)]] if self.bad else []


SETTINGS = [
    Tried("ENVIRONMENT", 2, ["", "prodution", "PRODUCTION", "1"], ["development", "production"]),
    Tried("DATABASE_URL", 2, [], []),
    Tried(
        "DATABASE_URL",
        CAPSTONE,
        [
            *("", "x", "sqlite:///todo.db", "mysql+aiomysql", "mysql://h/d", "http://h:port/"),
            *("postgresql://u:secret-word@h/d", "postgresql+asyncpg://u:secret-word@h:port/d"),
            "sqlite+aiosqlite:///todo.db?timeout=secret-word",
        ],
        [],
    ),
    Tried("DATABASE_BUSY_TIMEOUT", 2, [*NO_SECONDS, "61"], ["0", "5", "60"]),
    Tried(
        "JWT_SECRET",
        3,
        ["-----BEGIN PUBLIC KEY-----", "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQ"],
        ['"in quotation marks, which JSON has, too"', '["a list of 32 characters and more"]'],
    ),
    Tried(
        "JWT_SECRET_FALLBACKS",
        CAPSTONE,
        ["-----BEGIN PUBLIC KEY-----", "of-long-ago, ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQ"],
        ["", "of-last-year", "of-last-year, of-long-ago"],
    ),
    Tried("ACCESS_TOKEN_TTL", 3, [*NO_INTEGER, "0"], ["1", "31536000"]),
    Tried("BCRYPT_ROUNDS", 3, [*NO_INTEGER, "3", "17", "20", "31"], ["4", "16"]),
    Tried("MAX_IMAGES_PER_USER", 4, [*NO_INTEGER, "0"], ["1", "1000"]),
    Tried(
        "REDIS_URL",
        5,
        [
            *("x", "http://h", "redis:///0", "redis://h:port", "redis://h:0", "redis://h/name"),
            "redis://h:70000",
            *("redis://:secret-word/9@h:6379/0", "redis://:1/secret-word@h:6379/0"),
            *("redis://u:1/secret-word@h:6379/0", "redis://:secret#word@h", "redis://:a?b@h/0"),
        ],
        ["", "redis://h", "rediss://u:a%2Fb%23c%3Fd@h:6380/1", "redis://:a@[::1]:6379/0"],
    ),
    Tried("JOB_LEASE", 5, [*NO_SECONDS, "0"], ["1", "10"]),
    Tried("MAX_WAITING_JOBS_PER_USER", 5, [*NO_INTEGER, "0"], ["1", "100"]),
    Tried("MAX_JOB_STREAMS_PER_USER", 8, [*NO_INTEGER, "0"], ["1", "10"]),
    Tried("JOB_RETENTION", 5, NO_INTEGER, ["0", "604800"]),
    Tried(
        "JOB_CLEANUP_CRONTAB",
        5,
        ["", "x", "1 2 3 4", "60 * * * *", "1 2 3 4 5 6", "0 0 31 2 *"],
        ["*/10 * * * *", "0 3 * * 1-5"],
    ),
    Tried("WEATHER_CACHE_TTL", 6, NO_INTEGER, ["0", "600"]),
    Tried("WEATHER_TIMEOUT", 6, [*NO_SECONDS, "0", "0.00001"], ["0.1", "10"]),
    Tried("WEATHER_TIMEOUT_PAUSE", 6, NO_SECONDS, ["0", "10"]),
    Tried("WEATHER_LOOKUPS_PER_MINUTE", 6, [*NO_INTEGER, "0"], ["1", "300"]),
    Tried("OPENWEATHERMAP_BASE_URL", 6, NO_ADDRESS, ["http://127.0.0.1:8090", "https://h/a/b/"]),
    Tried("OPEN_METEO_BASE_URL", 6, NO_ADDRESS, ["http://127.0.0.1:8090", "https://h/a/b/"]),
    Tried("OPEN_METEO_GEOCODING_BASE_URL", 6, NO_ADDRESS, ["http://127.0.0.1:8090"]),
    Tried(
        "CHAT_ALLOWED_ORIGINS",
        8,
        [*NO_ORIGINS, "*"],
        ["", "https://h,http://localhost:5173", "https://h:8443 http://[::1]:8080"],
    ),
    Tried("CHAT_SOCKETS_PER_USER", 8, [*NO_INTEGER, "0"], ["1", "20"]),
    Tried("CHAT_HEARTBEAT", 8, [*NO_SECONDS, "0", "0.01"], ["0.1", "10", "3600"]),
    Tried("DATABASE_POOL_SIZE", 9, [*NO_INTEGER, "0"], ["1", "1000"]),
    Tried("DATABASE_MAX_OVERFLOW", 9, NO_INTEGER, ["0", "1000"]),
    Tried("DATABASE_POOL_TIMEOUT", 9, [*NO_SECONDS, "0", "0.00001"], ["0.1", "5", "3600"]),
    Tried("DATABASE_POOL_RECYCLE", 9, [*NO_INTEGER, "0"], ["1", "1800"]),
    Tried("DATABASE_STATEMENT_TIMEOUT", 9, [*NO_SECONDS, "0", "0.00001"], ["0.1", "3600"]),
    Tried("STARTUP_WAIT", 9, NO_SECONDS, ["0", "30.5"]),
    Tried("REFRESH_TOKEN_TTL", 9, [*NO_INTEGER, "0"], ["1", "31536000"]),
    Tried(
        "RATE_LIMIT_AUTH",
        9,
        NO_RATE,
        ["", "10/minute", "1/second"],
    ),
    Tried("RATE_LIMIT_WEATHER", 9, NO_RATE, ["", "10/minute"]),
    Tried("MAX_TODOS_PER_USER", 9, [*NO_INTEGER, "0"], ["1", "10000"]),
    Tried("MAX_POSTS_PER_USER", 9, [*NO_INTEGER, "0"], ["1", "10000"]),
    Tried("MAX_COMMENTS_PER_USER", 9, [*NO_INTEGER, "0"], ["1", "10000"]),
    Tried("REDIS_POOL_SIZE", 9, [*NO_INTEGER, "0"], ["1", "1000"]),
    Tried("CACHE_L1_TTL", 9, NO_SECONDS, ["0", "0.5", "3600"]),
    Tried("CACHE_L1_SIZE", 9, NO_INTEGER, ["0", "67108864"]),
    Tried("CACHE_L2_TTL", 9, [*NO_INTEGER, "0"], ["1", "300"]),
    Tried("CORS_ORIGINS", 9, NO_ORIGINS, ["", "*", "https://h,http://localhost:5173"]),
    Tried("DOCS_ENABLED", 9, ["", "x", "2", "ja"], ["true", "0"]),
    Tried("LOG_FORMAT", 9, ["", "xml", "JSON"], ["json", "console"]),
    Tried("WORKER_METRICS_PORT", 9, [*NO_INTEGER, "65536"], ["0", "65535"]),
    Tried("DRAIN_SECONDS", 9, [*NO_SECONDS, "16"], ["0", "15"]),
    Tried("STUCK_AFTER", 9, NO_SECONDS, ["0", "3600"]),
]
LONGEST = 240.0  # seconds, for hundreds of values
# These accept any text, or the server checks them at its start; tests of their features cover them.
FREE = {
    *("MEDIA_DIR", "OPENWEATHERMAP_API_KEY", "FIRST_ADMIN_USERNAME", "FIRST_ADMIN_PASSWORD"),
    *("HEARTBEAT_FILE", "FORWARDED_ALLOW_IPS"),
}

COMMANDS = """
import io, json, os, sys
from contextlib import redirect_stderr, redirect_stdout
from alembic.config import main
before = dict(os.environ)
for name, value in json.loads(sys.argv[1]):
    os.environ[name] = value
    said, code = io.StringIO(), 0
    with redirect_stdout(said), redirect_stderr(said):
        try:
            main(argv=["current"], prog="alembic")
        except SystemExit as end:
            code = end.code
        except BaseException as error:
            code = 1
            said.write("Traceback: " + repr(error))
    os.environ.pop(name)
    os.environ.update(before)
    print(json.dumps([code, said.getvalue()]))
"""


@pytest.mark.requirement("2.1")
def test_every_setting_is_tested(stage_directory: Path, stage: int) -> None:
    text = (stage_directory / ".env.example").read_text(encoding="utf-8")
    lines = text.partition("---- docker compose ----")[0].splitlines()
    named = {line.lstrip("# ").partition("=")[0] for line in lines if "=" in line}
    known = {name for name in named if name.isupper()}
    assert known - FREE == {tried.name for tried in SETTINGS if tried.stage <= stage}


@pytest.mark.requirement("2.1")
def test_a_bad_value_is_refused_with_an_error_that_names_the_setting(
    launch: Launch, stage_directory: Path, stage: int, pytestconfig: pytest.Config
) -> None:
    server = launch(start=False)
    each = pytestconfig.getoption("inherited") == FULL
    attempts = [
        (tried.name, value, value in tried.good)
        for turn, tried in enumerate(SETTINGS)
        if tried.stage <= stage
        for bad in [
            tried.bad_values(turn, stage) if each or tried.stage == stage else tried.bad_value(turn)
        ]
        for value in [*bad, *tried.good]
    ]
    asked = json.dumps([[name, value] for name, value, _ in attempts])
    done = server.run("python", "-c", COMMANDS, asked, cwd=stage_directory, within=LONGEST)
    results = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    assert len(results) == len(attempts), done.stdout
    wrong = []
    for (name, value, good), (code, said) in zip(attempts, results, strict=True):
        begins = "Traceback: StartupError(" if stage < CAPSTONE else "FAILED"
        lines = [line for line in said.splitlines() if line.startswith(begins)]
        named = len(lines) == 1 and f"{name}:" in lines[0]
        told = (len(value) > 4 and value in said) or "secret" in said
        told |= stage == CAPSTONE and "Traceback" in said
        if (good and code) or (not good and not (code and named)) or told:
            wrong.append((name, value, code, said))
    assert not wrong
