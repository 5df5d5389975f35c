"""Every kind of drift between stages is found and reported with an instruction."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tools.tests.conftest import FOUR, MAIN, ONE, STAGES_TOML, THREE, TWO, Course


def declare(course: Course, old: str, new: str) -> None:
    course.replace("stages.toml", old, new)


@pytest.mark.requirement("D.3")
def test_a_course_in_sync_is_clean(course: Course) -> None:
    result = course.drift()

    assert (result.status, result.err) == (0, "")
    assert result.out == "No drift: 4 stages, 22 files, 11 declared differences.\n"


def test_ignored_files_are_not_drift(course: Course) -> None:
    course.write(f"{TWO}/todo.db", "rows")
    course.write(f"{THREE}/.env", "SECRET=x\n")
    course.write("stage09_left_over/__pycache__/main.pyc", b"\0")

    assert course.drift().status == 0


Spoil = Callable[[Course], object]
SPOILT: dict[str, tuple[Spoil, str]] = {
    "content differs": (
        lambda c: c.write(f"{TWO}/app/main.py", MAIN + "x\n"),
        f"{TWO}/app/main.py differs from {ONE}'s but stages.toml does not list it under changes:"
        " fix it in the stage where it first appears and run"
        f" python3 noxfile.py propagate {ONE}, or list it",
    ),
    "mode differs": (
        lambda c: c.write(f"{TWO}/app/main.py", MAIN, executable=True),
        f"{TWO}/app/main.py has mode 100755, {ONE}'s has 100644, but stages.toml does not list it"
        " under changes",
    ),
    "a file is new": (
        lambda c: c.write(f"{TWO}/app/new.py", "x\n"),
        f"{TWO}/app/new.py is new in this stage and stages.toml does not list it under adds",
    ),
    "a file of the first stage is not declared": (
        lambda c: declare(c, '"README.md", "app/main.py", ', '"README.md", '),
        f"{ONE}/app/main.py is new in this stage and stages.toml does not list it under adds",
    ),
    "a file is missing": (
        lambda c: c.delete(f"{TWO}/app/main.py"),
        f"{TWO}/app/main.py is missing, {ONE} has it",
    ),
    "an added file is missing": (
        lambda c: c.delete(f"{FOUR}/Dockerfile"),
        f"stages.toml lists Dockerfile under adds of {FOUR}, but the file does not exist",
    ),
    "an added file is inherited": (
        lambda c: declare(c, '["Dockerfile"]', '["Dockerfile", "app/main.py"]'),
        f"stages.toml lists app/main.py under adds of {FOUR}, but {THREE} has the same file",
    ),
    "an added file is a change": (
        lambda c: declare(
            c, 'adds = ["app/todos/models.py"]\nchanges = ["README.md", ',
            'adds = ["app/todos/models.py", "README.md"]\nchanges = [',
        ),
        f"stages.toml lists README.md under adds of {TWO}, but {ONE} has it too: list it under"
        " changes",
    ),
    "a file written anew is identical": (
        lambda c: declare(c, '["Dockerfile"]', '["Dockerfile"]\nrewrites = ["app/main.py"]'),
        f"stages.toml lists app/main.py under rewrites of {FOUR}, but it is identical to {THREE}'s",
    ),
    "a changed file is identical": (
        lambda c: c.write(f"{THREE}/app/main.py", MAIN),
        f"stages.toml lists app/main.py under changes of {THREE}, but it is identical to {TWO}'s",
    ),
    "a changed file is missing": (
        lambda c: c.delete(f"{THREE}/app/main.py"),
        f"stages.toml lists app/main.py under changes of {THREE}, but the file does not exist",
    ),
    "a changed file is new": (
        lambda c: declare(
            c, 'adds = ["app/auth/router.py"]\nchanges = [',
            'adds = []\nchanges = ["app/auth/router.py", ',
        ),
        f"stages.toml lists app/auth/router.py under changes of {THREE}, but {TWO} has no such"
        " file: list it under adds",
    ),
    "a removed file is there": (
        lambda c: declare(c, '["Dockerfile"]', '["Dockerfile"]\nremoves = ["README.md"]'),
        f"stages.toml lists README.md under removes of {FOUR}, but it is there",
    ),
    "a removed file never was": (
        lambda c: declare(c, 'adds = ["Dockerfile"]', 'adds = ["Dockerfile"]\nremoves = ["x.py"]'),
        f"stages.toml lists x.py under removes of {FOUR}, but {THREE} has no such file",
    ),
    "a path is listed twice": (
        lambda c: declare(c, '["Dockerfile"]', '["Dockerfile", "Dockerfile"]'),
        f"stages.toml lists Dockerfile twice for {FOUR}",
    ),
    "a directory is not listed": (
        lambda c: c.write("stage05_more/app/main.py", MAIN),
        "stage05_more/ is not in stages.toml",
    ),
    "a capstone is not listed": (
        lambda c: c.write("capstone_more/app/main.py", MAIN),
        "capstone_more/ is not in stages.toml",
    ),
    "a listed directory is not there": (
        lambda c: (c.root / FOUR).rename(c.root / "elsewhere"),
        f"stages.toml lists {FOUR}, but the directory has no files",
    ),
    "two rows for a directory": (
        lambda c: declare(c, f'directory = "{FOUR}"', f'directory = "{THREE}"'),
        f"stages.toml has {THREE} in two rows",
    ),
    "conflict markers are left": (
        lambda c: c.write(f"{FOUR}/Dockerfile", f"<<<<<<< {FOUR}\nFROM a\n=======\nFROM b\n"),
        f"{FOUR}/Dockerfile holds conflict markers",
    ),
    "the end of a conflict is left, in CRLF": (
        lambda c: c.write(f"{FOUR}/Dockerfile", b"FROM b\r\n>>>>>>>\r\n"),
        f"{FOUR}/Dockerfile holds conflict markers",
    ),
    "the lock is stale": (
        lambda c: c.write(f"{ONE}/README.md", "# Another\n"),
        f"stages.lock: {ONE} has changed since {TWO} was last synced from it: run"
        f" python3 noxfile.py propagate {ONE}",
    ),
    "a lock row is missing": (
        lambda c: c.write("stages.lock", "".join(
            line for line in c.read("stages.lock").splitlines(keepends=True) if THREE not in line
        )),
        f"stages.lock has no row for {THREE}: if it is a copy of {TWO} as it is now, run"
        f" python3 noxfile.py propagate --adopt {THREE}",
    ),
    "there is no lock": (
        lambda c: c.delete("stages.lock"),
        f"stages.lock has no row for {TWO}",
    ),
    "a lock row is surplus": (
        lambda c: c.write("stages.lock", c.read("stages.lock") + f'"{ONE}" = "0"\n'),
        f"stages.lock has a row for {ONE}, which follows no stage",
    ),
}  # fmt: skip


@pytest.mark.requirement("D.3")
@pytest.mark.parametrize("case", SPOILT)
def test_drift_is_found(course: Course, case: str) -> None:
    spoil, message = SPOILT[case]
    spoil(course)

    result = course.drift()

    assert result.status == 1
    assert [line for line in result.out.splitlines() if line.startswith(message)], result.out


def test_a_stale_lock_alone_is_one_problem(course: Course) -> None:
    tree = course.git("rev-parse", f"HEAD:{TWO}").strip()
    course.replace("stages.lock", tree, course.git("rev-parse", f"HEAD:{ONE}").strip())

    result = course.drift()

    assert result.out.count("\n") == 1
    assert result.out.startswith(f"stages.lock: {TWO} has changed since {THREE} was last synced")


def test_a_declared_removal_is_not_drift(course: Course) -> None:
    declare(course, 'adds = ["Dockerfile"]', 'adds = ["Dockerfile"]\nremoves = ["app/main.py"]')
    course.delete(f"{FOUR}/app/main.py")

    assert course.drift().status == 0


def test_a_mode_may_be_a_declared_change(course: Course) -> None:
    course.replace(
        "stages.toml", 'adds = ["Dockerfile"]', 'adds = ["Dockerfile"]\nchanges = ["README.md"]'
    )
    (course.root / FOUR / "README.md").chmod(0o755)

    assert course.drift().status == 0


def test_a_heading_underlined_with_equals_signs_is_no_conflict(course: Course) -> None:
    course.write(f"{FOUR}/Dockerfile", "Stage 4\n=======\n\n  <<<<<<< indented\n<<<<<<<<<<<\n")

    assert course.drift().status == 0


@pytest.mark.parametrize(
    "parts",
    [
        ("files.python", "hosted.org"),
        ("pypi.", "org/simple"),
        ("REGISTRY.", "npmjs.org"),
        ("deb.", "debian.org"),
    ],
)
def test_a_registry_host_in_any_file_is_refused(course: Course, parts: tuple[str, str]) -> None:
    course.write("docs/untracked.txt", "first\nsee https://" + "".join(parts) + "/x\n")

    result = course.drift()

    assert result.status == 1
    assert result.out.startswith("docs/untracked.txt:2 names the package registry ")


def test_a_registry_host_in_an_ignored_file_is_no_problem(course: Course) -> None:
    course.write("stage.db", "https://files.python" + "hosted.org/")

    assert course.drift().status == 0


def test_an_unfinished_propagate_is_red(course: Course) -> None:
    course.replace(f"{ONE}/app/main.py", "line 9\n", "line nine\n")
    assert course.propagate().status == 1

    result = course.drift()

    assert f"the propagate into {THREE} is not finished" in result.out


def test_an_unreadable_lock_is_a_clear_error(course: Course) -> None:
    course.write("stages.lock", "<<<<<<< HEAD\n")

    result = course.drift()

    assert result.status == 2
    assert result.err.startswith("stages.lock: ")


def test_an_unreadable_course_is_a_clear_error(course: Course) -> None:
    course.write("stages.toml", STAGES_TOML.replace("number = 2", "number = 7"))

    assert course.drift().err.startswith("stages.toml: number the stages")
