"""The command line of a grade. Wrong options raise `CourseError` (exit code 2)."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from course.catalog.requirements import load_requirements
from course.catalog.stages import CourseError, Stage, find_step, load_course
from course.harness.learners import split_command
from course.harness.profile import Profile, ProfileError, load_profile
from course.harness.server import START_DEADLINE
from tools.grade import platforms, sandbox
from tools.grade.words import LANGUAGES

_SETTING = re.compile(r"([A-Za-z_]\w*)(?:=(.*))?", re.DOTALL)


@dataclass(frozen=True)
class Subject:
    """One solution: a server that is up at `base_url`, or a `command` for one in `directory`."""

    base_url: str | None
    command: tuple[str, ...]
    directory: Path
    profile_file: Path | None
    profile: Profile


@dataclass(frozen=True)
class Options:
    """The options. `subject` is None for a roster."""

    stage: Stage  # or a chapter of it
    rows: tuple[str, ...]  # only these
    subject: Subject | None
    roster: Path | None
    thorough: bool
    strict: bool
    hint: int | None
    language: str
    watch: bool
    files: dict[str, Path]  # by format
    settings: dict[str, str | None]
    admin: tuple[str, str] | None
    weather: str | None
    start_within: float
    answer_within: float
    sandbox: sandbox.Sandbox | None
    platforms: platforms.Platforms


def parse(arguments: Sequence[str]) -> Options:
    """Return the options; argparse ends the program with 2 at an unknown option."""
    given = _parser().parse_args(arguments)
    try:
        os.chdir(given.directory or ".")
    except OSError as error:
        raise CourseError(f"--directory: {error}") from error
    stage = find_step(load_course(), given.stage)
    files = {name: getattr(given, name) for name in ("json", "junit", "markdown", "html", "csv")}
    subject = None
    if stage.chapter is not None:
        subject = _of_a_chapter(stage, given)
    elif given.roster is None:
        subject = make_subject(given.base_url, given.cmd, given.cwd, given.profile)
        if files["csv"]:
            raise CourseError("--csv is the matrix of a --roster")
    elif given.base_url or given.cmd or given.watch:
        raise CourseError("--roster names the solutions: leave out --base-url, --cmd and --watch")
    elif of_one := [f"--{name}" for name in ("json", "junit", "markdown") if files[name]]:
        raise CourseError(f"{of_one[0]} is for one solution: a --roster has --csv and --html")
    if given.watch and not given.cmd and stage.chapter is None:
        raise CourseError("--watch needs --cmd: it watches the files of that solution")
    if (given.admin_username is None) != (given.admin_password is None):
        raise CourseError("give both --admin-username and --admin-password")
    return Options(
        stage=stage,
        rows=_rows(stage, given.row),
        subject=subject,
        roster=given.roster,
        thorough=given.thorough,
        strict=given.strict,
        hint=given.hint,
        language=given.lang,
        watch=given.watch,
        files={name: file for name, file in files.items() if file},
        settings=dict(_setting(text) for text in given.env),
        admin=(given.admin_username, given.admin_password) if given.admin_username else None,
        weather=given.weather_control_url,
        start_within=given.start_within,
        answer_within=given.answer_within,
        sandbox=sandbox.from_options(given),
        platforms=platforms.from_options(given, stage.number),
    )


def make_subject(
    base_url: str | None, command: str | None, directory: Path | None, profile_file: Path | None
) -> Subject:
    """Return one solution; raise `CourseError` for a wrong description."""
    try:
        profile = load_profile(profile_file) if profile_file else Profile()
    except ProfileError as error:
        raise CourseError(str(error)) from error
    if not base_url and not command and profile.port:
        base_url = f"http://127.0.0.1:{profile.port}"
    if bool(base_url) == bool(command):
        raise CourseError("give the solution: either --base-url URL or --cmd COMMAND")
    if directory and not command:
        raise CourseError("--cwd needs --cmd")
    try:
        words = tuple(split_command(command or ""))
    except ValueError as error:
        raise CourseError(f"--cmd: {error}") from error
    return Subject(base_url, words, directory or Path(), profile_file, profile)


def _of_a_chapter(stage: Stage, given: argparse.Namespace) -> Subject:
    """Return the solution of a chapter: a directory whose app the tests start themselves."""
    others = {
        "--base-url": given.base_url,
        "--cmd": given.cmd,
        "--roster": given.roster,
        "--profile": given.profile,
    }
    if wrong := [name for name, value in others.items() if value]:
        raise CourseError(
            f"{stage.step} is checked by the course's own tests, which start your app: give --cwd"
            f" DIR and leave out {wrong[0]}"
        )
    if given.cwd is None:
        raise CourseError(
            f"give the directory of your {stage.name}: --stage {stage.step} --cwd DIR"
        )
    return Subject(None, (), given.cwd, None, Profile())


def _rows(stage: Stage, wanted: Sequence[str]) -> tuple[str, ...]:
    """Return the rows to grade, if not all of them."""
    known = stage.chapter.rows if stage.chapter else [row.id for row in load_requirements()]
    if unknown := [row for row in wanted if row not in known]:
        raise CourseError(f"--row {unknown[0]}: {stage.step} has no such row")
    return tuple(wanted)


def _setting(text: str) -> tuple[str, str | None]:
    found = _SETTING.fullmatch(text)
    if found is None:
        raise CourseError(f"--env is NAME=VALUE, or NAME for none: not {text!r}")
    return found[1], found[2]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.grade",
        description="Grade a solution of a stage, in any language, by its answers.",
        epilog="Exit code 0: every checked row passes, 1: a row fails, 2: not graded.",
    )
    parser.add_argument(
        "--stage", metavar="N", required=True, help="the stage, or a chapter: capstone/2"
    )
    parser.add_argument(
        "--row", metavar="ROW", action="append", default=[],
        help="grade only this row, such as 3.1 (may be repeated)",
    )  # fmt: skip
    subject = parser.add_argument_group("what is graded")
    subject.add_argument("--base-url", metavar="URL", help="a server that is up")
    subject.add_argument("--cmd", metavar="COMMAND", help="starts one on the port {port}")
    subject.add_argument("--cwd", metavar="DIR", type=Path, help="where --cmd runs (default: here)")
    subject.add_argument(
        "--env", metavar="NAME=VALUE", action="append", default=[],
        help="a setting of --cmd; NAME alone: without it (may be repeated)",
    )  # fmt: skip
    subject.add_argument(
        "--profile", metavar="FILE", type=Path, help="other names of paths and fields, as TOML"
    )
    subject.add_argument("--roster", metavar="FILE", type=Path, help="many solutions, as CSV")
    subject.add_argument("--admin-username", metavar="NAME", help="an administrator of --base-url")
    subject.add_argument("--admin-password", metavar="PASSWORD", help="and the password")
    subject.add_argument(
        "--weather-control-url", metavar="URL", help="the fake weather provider that it asks"
    )
    subject.add_argument(
        "--start-within", metavar="SECONDS", type=float, default=START_DEADLINE,
        help="how long --cmd may take to answer (default: %(default)s)",
    )  # fmt: skip
    sandbox.add_options(parser)
    how = parser.add_argument_group("how")
    how.add_argument(
        "--answer-within", metavar="SECONDS", type=float, default=6.0,
        help="how long a request may take (default: %(default)s)",
    )  # fmt: skip
    how.add_argument("--thorough", action="store_true", help="every test; takes minutes")
    how.add_argument("--strict", action="store_true", help="suggestions count like requirements")
    how.add_argument("--hint", type=int, choices=(1, 2, 3), help="the hint to show (default: next)")
    how.add_argument("--lang", choices=LANGUAGES, default="en", help="of rows, hints and words")
    how.add_argument("--watch", action="store_true", help="grade again whenever a file changes")
    reports = parser.add_argument_group("reports")
    for name in ("json", "junit", "markdown", "html", "csv"):
        reports.add_argument(f"--{name}", metavar="FILE", type=Path)
    platforms.add_options(parser)
    parser.add_argument(
        "--directory", metavar="DIR", help=argparse.SUPPRESS
    )  # nox was called there
    return parser
