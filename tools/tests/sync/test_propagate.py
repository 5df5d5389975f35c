"""An edit of one stage reaches every later one, and no work of the user is lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from course.catalog.trees import UNFINISHED
from tools.sync import propagate as propagate_module
from tools.sync.synced import HEADER, pending_path, read_lock
from tools.tests.conftest import FOUR, MAIN, ONE, THREE, TWO, Course

LATER = [TWO, THREE, FOUR]
PICTURE, OTHER_PICTURE, THIRD_PICTURE = b"\x89PNG\0one", b"\x89PNG\0two", b"\x89PNG\0three"


def conflict_in_three(course: Course) -> None:
    """Edit the line of stage 1 that stage 3 has also edited, which gives a conflict."""
    course.replace(f"{ONE}/app/main.py", "line 9\n", "line nine\n")
    result = course.propagate()
    assert result.status == 1
    assert f"{THREE} has conflicts:\n  {THREE}/app/main.py: both stages changed" in result.out


def resolve(course: Course, stage: str, line: str) -> None:
    """Replace the conflict in a stage's main.py by one line."""
    text = course.read(f"{stage}/app/main.py")
    start, end = text.index("<<<<<<<"), text.index("\n", text.index(">>>>>>>")) + 1
    course.write(f"{stage}/app/main.py", text[:start] + line + text[end:])


REWRITES = 'rewrites = ["README.md"]\nchanges = ["requirements.txt"]'


def test_without_an_edit_there_is_nothing_to_do(course: Course) -> None:
    before = course.everything()

    result = course.propagate()

    assert (result.status, result.err) == (0, "")
    assert result.out == "".join(f"{stage}: nothing to do\n" for stage in LATER)
    assert course.everything() == before


@pytest.mark.parametrize("committed", [True, False])
def test_an_edit_reaches_every_later_stage(course: Course, committed: bool) -> None:
    course.replace(f"{ONE}/app/main.py", "line 2\n", "line two\n")
    if committed:
        course.commit()

    result = course.propagate(ONE)

    assert result.status == 0
    assert course.read(f"{TWO}/app/main.py") == MAIN.replace("line 2\n", "line two\n")
    for stage in (THREE, FOUR):
        assert "line two\n" in course.read(f"{stage}/app/main.py")
        assert "line 9 with users\n" in course.read(f"{stage}/app/main.py")
    assert f"{TWO}: from {ONE}\n  taken    app/main.py\n" in result.out
    assert f"{THREE}: from {TWO}\n  merged   app/main.py\n" in result.out
    assert course.drift().status == 0


@pytest.mark.parametrize("name", ["2", "02", "stage02", TWO, f"{TWO}/"])
def test_a_stage_is_named_as_a_person_would(course: Course, name: str) -> None:
    course.write(f"{TWO}/app/todos/models.py", "class Todo2: ...\n")

    assert course.propagate(name).status == 0

    assert course.read(f"{FOUR}/app/todos/models.py") == "class Todo2: ...\n"
    assert course.read(f"{ONE}/app/todos/router.py") == "routes = []\n"


def test_an_unknown_stage_is_one_line(course: Course) -> None:
    result = course.propagate("17")

    assert (result.status, result.out) == (2, "")
    assert result.err.startswith("stage '17' does not exist")


def test_uncommitted_edits_of_a_later_stage_are_merged_not_overwritten(course: Course) -> None:
    course.replace(f"{ONE}/app/main.py", "line 2\n", "line two\n")
    course.replace(f"{FOUR}/app/main.py", "line 5\n", "line 5 of mine\n")
    course.write(f"{FOUR}/app/mine.py", "mine\n")

    assert course.propagate().status == 0

    text = course.read(f"{FOUR}/app/main.py")
    assert "line two\n" in text
    assert "line 5 of mine\n" in text
    assert course.read(f"{FOUR}/app/mine.py") == "mine\n"


def test_an_added_file_is_added_and_the_row_it_needs_is_named(course: Course) -> None:
    course.write(f"{ONE}/app/tags/tag.sh", "#!/bin/sh\n", executable=True)

    result = course.propagate()

    for stage in LATER:
        assert course.read(f"{stage}/app/tags/tag.sh") == "#!/bin/sh\n"
        assert course.executable(f"{stage}/app/tags/tag.sh")
    needed = [line for line in result.out.splitlines() if line.startswith("For stages.toml: ")]
    assert len(needed) == 1
    assert f"{ONE}/app/tags/tag.sh is new in this stage" in needed[0]
    course.replace(
        "stages.toml", '"app/todos/router.py", ', '"app/todos/router.py", "app/tags/tag.sh", '
    )
    assert course.drift().status == 0


def test_a_deleted_file_and_its_empty_folder_go(course: Course) -> None:
    course.delete(f"{ONE}/app/todos/router.py")
    course.delete(f"{TWO}/app/todos/models.py")

    result = course.propagate()

    assert result.status == 0
    assert "  deleted  app/todos/router.py\n" in result.out
    assert not course.exists(f"{FOUR}/app/todos")
    assert course.exists(f"{FOUR}/app/main.py")


def test_a_rewritten_file_gets_no_edits_of_earlier_stages(course: Course) -> None:
    course.replace("stages.toml", 'changes = ["README.md", "requirements.txt"]', REWRITES)
    course.write(f"{ONE}/README.md", "# A list\n\nRewritten.\n")

    result = course.propagate()

    assert result.status == 0
    assert course.read(f"{TWO}/README.md") == "# A store\n\nTwo.\n"
    assert course.drift().status == 0


def test_a_mode_travels_apart_from_the_content(course: Course) -> None:
    (course.root / ONE / "app/main.py").chmod(0o755)
    (course.root / ONE / "README.md").chmod(0o755)

    assert course.propagate().status == 0

    assert course.executable(f"{FOUR}/app/main.py")
    assert "line 9 with users\n" in course.read(f"{FOUR}/app/main.py")
    assert course.executable(f"{FOUR}/README.md")
    assert course.read(f"{FOUR}/README.md") == "# Users\n\nThree.\n"


def test_a_mode_that_is_reset_travels_too(course: Course) -> None:
    (course.root / ONE / "app/main.py").chmod(0o755)
    course.propagate()
    (course.root / ONE / "app/main.py").chmod(0o644)

    assert course.propagate().status == 0

    assert not course.executable(f"{FOUR}/app/main.py")


def test_the_same_edit_made_by_hand_everywhere_is_no_conflict(course: Course) -> None:
    for stage in (ONE, *LATER):
        course.replace(f"{stage}/app/main.py", "line 2\n", "line two\n")

    result = course.propagate()

    assert result.status == 0
    assert f"{TWO}: has {ONE}'s changes already" in result.out
    assert course.drift().status == 0


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"a\r\nb\r\nc\r\nd\r\ne\r\n", b"A\r\nb\r\nc\r\nd\r\ne\r\n"),
        (b"a\nb\nc\nd\ne", b"A\nb\nc\nd\ne"),
        ("а\nб\nв\nг\ne\n".encode(), "Ж\nб\nв\nг\ne\n".encode()),
        (b"caf\xe9\nb\nc\nd\ne\n", b"th\xe9\nb\nc\nd\ne\n"),
    ],
    ids=["crlf", "no newline at the end", "cyrillic", "latin-1"],
)
def test_texts_of_every_kind_are_merged(course: Course, old: bytes, new: bytes) -> None:
    name = "app/сообщение one.txt"
    for stage in (ONE, *LATER):
        course.write(f"{stage}/{name}", old)
    course.propagate()
    course.write(f"{FOUR}/{name}", old.replace(b"e", b"E") if old[-1:] == b"e" else old + b"f\n")
    course.write(f"{ONE}/{name}", new)

    assert course.propagate().status == 0

    merged = (course.root / FOUR / name).read_bytes()
    assert merged == (new.replace(b"e", b"E") if old[-1:] == b"e" else new + b"f\n")


@pytest.mark.parametrize("name", ["with space.py", "привет.py", 'q"uote.py', "new\nline.py", "-x"])
def test_an_odd_file_name_travels(course: Course, name: str) -> None:
    course.write(f"{ONE}/app/{name}", "x\n")

    result = course.propagate()

    assert result.status == 0
    assert course.read(f"{FOUR}/app/{name}") == "x\n"
    assert all(
        line.startswith(("  ", "For", "stage", "capstone")) for line in result.out.split("\n")[:-1]
    )


def test_a_file_that_became_a_folder_does_so_in_every_stage(course: Course) -> None:
    course.delete(f"{ONE}/app/todos/router.py")
    course.write(f"{ONE}/app/todos/router.py/part.py", "part\n")

    assert course.propagate().status == 0

    assert course.read(f"{FOUR}/app/todos/router.py/part.py") == "part\n"


def test_a_folder_that_became_a_file_does_so_in_every_stage(course: Course) -> None:
    course.write(f"{ONE}/extra/a.txt", "a\n")
    course.propagate()
    course.delete(f"{ONE}/extra/a.txt")
    (course.root / ONE / "extra").rmdir()
    course.write(f"{ONE}/extra", "a file\n")

    assert course.propagate().status == 0

    assert course.read(f"{FOUR}/extra") == "a file\n"


def test_ignored_files_are_neither_touched_nor_copied(course: Course) -> None:
    course.write(f"{ONE}/todo.db", "rows of one")
    course.write(f"{ONE}/app/todos/router.py", "routes = [1]\n")
    for stage in LATER:
        course.write(f"{stage}/.env", f"SECRET={stage}\n")
        course.write(f"{stage}/app/todos/cache.db", "kept")
    course.delete(f"{TWO}/app/todos/models.py")

    assert course.propagate().status == 0

    for stage in LATER:
        assert course.read(f"{stage}/.env") == f"SECRET={stage}\n"
        assert course.read(f"{stage}/app/todos/cache.db") == "kept"
        assert not course.exists(f"{stage}/todo.db")


def test_staged_changes_of_the_user_stay_staged(course: Course) -> None:
    course.replace(f"{ONE}/app/main.py", "line 2\n", "line two\n")
    course.git("add", ONE)
    before = course.git("diff", "--cached")

    assert course.propagate().status == 0

    assert course.git("diff", "--cached") == before


def test_line_endings_on_disk_follow_gitattributes(course: Course) -> None:
    course.write(".gitattributes", "* text=auto eol=lf\n*.bat text eol=crlf\n")
    course.write(f"{ONE}/run.bat", b"echo 1\r\n")

    assert course.propagate().status == 0

    assert (course.root / FOUR / "run.bat").read_bytes() == b"echo 1\r\n"


def test_a_conflict_stops_with_markers_that_name_the_two_stages(course: Course) -> None:
    conflict_in_three(course)

    assert course.read(f"{TWO}/app/main.py") == MAIN.replace("line 9\n", "line nine\n")
    assert (
        f"line 8\n<<<<<<< {THREE}\nline 9 with users\n||||||| {TWO} (when last synced)\nline 9\n"
        f"=======\nline nine\n>>>>>>> {TWO}\nline 10\n"
    ) in course.read(f"{THREE}/app/main.py")
    assert "nine" not in course.read(f"{FOUR}/app/main.py")


def test_a_run_with_remaining_markers_reports_them_and_stops(course: Course) -> None:
    conflict_in_three(course)
    before = course.everything()

    result = course.propagate()

    assert result.status == 1
    assert f"{THREE}/app/main.py: both stages changed the same lines" in result.out
    assert course.everything() == before


@pytest.mark.parametrize("arguments", [(), (ONE,), ("--continue",), (FOUR,)])
def test_a_resolved_conflict_goes_on_to_the_last_stage(
    course: Course, arguments: tuple[str, ...]
) -> None:
    conflict_in_three(course)
    resolve(course, THREE, "line nine with users\n")

    result = course.propagate(*arguments)

    assert result.status == 0
    assert f"{THREE}: resolved" in result.out
    assert "line nine with users\n" in course.read(f"{FOUR}/app/main.py")
    assert course.drift().status == 0
    assert not pending_path(course.root).exists()


def test_two_conflicts_in_a_row_are_resolved_one_after_the_other(course: Course) -> None:
    course.replace(f"{FOUR}/app/main.py", "line 9 with", "line 9 at last with")
    course.replace("stages.toml", '["Dockerfile"]', '["Dockerfile"]\nchanges = ["app/main.py"]')
    conflict_in_three(course)
    resolve(course, THREE, "line nine with users\n")

    second = course.propagate()
    assert second.status == 1
    assert f"{FOUR} has conflicts:" in second.out
    resolve(course, FOUR, "line nine at last with users\n")
    third = course.propagate()

    assert third.status == 0
    assert course.read(f"{FOUR}/app/main.py") == MAIN.replace(
        "line 9\n", "line nine at last with users\n"
    )
    assert course.drift().status == 0


def test_abort_puts_the_stage_back_as_it_was(course: Course) -> None:
    course.write(f"{THREE}/app/mine.py", "untracked\n")
    course.replace(f"{THREE}/app/main.py", "line 5\n", "line 5 uncommitted\n")
    course.write(f"{ONE}/app/added.py", "added\n")
    before = {k: v for k, v in course.everything().items() if k.startswith(THREE)}
    conflict_in_three(course)

    result = course.propagate("--abort")

    assert result.status == 0
    assert {k: v for k, v in course.everything().items() if k.startswith(THREE)} == before
    assert f"stages.lock: {TWO} has changed since {THREE}" in course.drift().out
    assert course.propagate().status == 1  # the same conflict again


def test_a_discarded_merge_can_be_restored(course: Course) -> None:
    conflict_in_three(course)
    resolve(course, THREE, "an hour of work\n")

    result = course.propagate("--abort")

    tree = result.out.split("git archive ")[1].split()[0]
    assert "an hour of work" in course.git("show", f"{tree}:app/main.py")


def test_an_abort_without_a_conflict_is_a_clear_error(course: Course) -> None:
    result = course.propagate("--abort")

    assert (result.status, result.out) == (2, "")
    assert result.err == "nothing to abort: no propagate is in progress\n"


def test_edits_made_while_a_conflict_waits_are_merged_next(course: Course) -> None:
    conflict_in_three(course)
    course.replace(f"{ONE}/app/main.py", "line 1\n", "line one\n")
    course.replace(f"{TWO}/app/main.py", "line 4\n", "line four\n")
    course.replace(f"{THREE}/app/main.py", "line 6\n", "line six\n")
    course.write(f"{THREE}/app/new.py", "new\n")
    resolve(course, THREE, "line nine with users\n")

    result = course.propagate()

    assert result.status == 0
    text = course.read(f"{FOUR}/app/main.py")
    for line in ("line one\n", "line four\n", "line six\n", "line nine with users\n"):
        assert line in text
    assert "line one\n" in course.read(f"{TWO}/app/main.py")
    assert course.read(f"{FOUR}/app/new.py") == "new\n"


@pytest.mark.parametrize("keep", [True, False])
def test_a_file_deleted_there_and_edited_here_stays_as_a_conflict(
    course: Course, keep: bool
) -> None:
    course.delete(f"{ONE}/README.md")
    course.delete(f"{ONE}/app/todos/router.py")

    first = course.propagate()

    assert first.status == 1
    assert f"{TWO}/README.md: {ONE} deleted it, this stage has its own version" in first.out
    assert course.read(f"{TWO}/README.md") == "# A store\n\nTwo.\n"
    assert not course.exists(f"{TWO}/app/todos/router.py")
    if not keep:
        course.delete(f"{TWO}/README.md")
    second = course.propagate()
    assert course.exists(f"{TWO}/README.md") is keep
    # If it is kept, it continues as stage 2's own file; if it is deleted, stage 3 has the same
    # conflict.
    assert second.status == (0 if keep else 1)
    if keep:
        assert (
            f"stages.toml lists README.md under changes of {TWO}, but {ONE} has no such"
            in second.out
        )


@pytest.mark.parametrize("keep", [True, False])
def test_a_file_edited_there_and_deleted_here_returns_as_a_conflict(
    course: Course, keep: bool
) -> None:
    course.delete(f"{TWO}/app/todos/router.py")
    course.write(f"{ONE}/app/todos/router.py", "routes = [1]\n")

    first = course.propagate()

    assert first.status == 1
    assert f"{TWO}/app/todos/router.py: this stage deleted it, {ONE} changed it" in first.out
    assert course.read(f"{TWO}/app/todos/router.py") == "routes = [1]\n"
    if not keep:
        course.delete(f"{TWO}/app/todos/router.py")
    assert course.propagate().status == 0
    assert course.exists(f"{TWO}/app/todos/router.py") is keep
    assert course.exists(f"{FOUR}/app/todos/router.py") is keep


def test_a_declared_removal_is_not_asked_about_again(course: Course) -> None:
    course.replace(
        "stages.toml", 'adds = ["Dockerfile"]', 'adds = ["Dockerfile"]\nremoves = ["app/main.py"]'
    )
    course.delete(f"{FOUR}/app/main.py")
    course.replace(f"{ONE}/app/main.py", "line 2\n", "line two\n")

    assert course.propagate().status == 0

    assert not course.exists(f"{FOUR}/app/main.py")
    assert course.drift().status == 0


def test_a_picture_changed_on_both_sides_stays_and_is_named(course: Course) -> None:
    course.write(f"{ONE}/logo.png", PICTURE)
    course.propagate()
    course.write(f"{THREE}/logo.png", OTHER_PICTURE)
    course.write(f"{ONE}/logo.png", THIRD_PICTURE)

    first = course.propagate()

    assert first.status == 1
    assert f"{THREE}/logo.png: both stages changed it and it is not text" in first.out
    assert (course.root / TWO / "logo.png").read_bytes() == THIRD_PICTURE
    assert (course.root / THREE / "logo.png").read_bytes() == OTHER_PICTURE
    course.write(f"{THREE}/logo.png", THIRD_PICTURE)
    assert course.propagate().status == 0


def test_the_same_new_name_with_different_texts_is_a_conflict_that_holds_both(
    course: Course,
) -> None:
    course.write(f"{ONE}/app/new.py", "theirs\n")
    course.write(f"{TWO}/app/new.py", "mine, never committed\n")

    assert course.propagate().status == 1

    text = course.read(f"{TWO}/app/new.py")
    assert "theirs\n" in text
    assert "mine, never committed\n" in text
    course.propagate("--abort")
    assert course.read(f"{TWO}/app/new.py") == "mine, never committed\n"


def test_an_ignored_file_in_the_way_is_not_overwritten(course: Course) -> None:
    course.write(".gitignore", f"{TWO}/secret.txt\n")
    course.write(f"{ONE}/secret.txt", "from one\n")
    course.write(f"{TWO}/secret.txt", "the user's own\n")

    first = course.propagate()

    assert first.status == 1
    blocked = f"{TWO}/secret.txt: cannot be written because one of your files is in the way"
    assert blocked in first.out
    assert course.propagate().status == 1
    assert course.read(f"{TWO}/secret.txt") == "the user's own\n"
    (course.root / TWO / "secret.txt").rename(course.root / "kept.txt")
    assert course.propagate().status == 0
    assert course.read(f"{TWO}/secret.txt") == "from one\n"


@pytest.mark.parametrize("ignored", [True, False])
def test_a_file_where_a_folder_must_be_is_not_overwritten(course: Course, ignored: bool) -> None:
    name = "chat.db" if ignored else "chat"
    course.write(f"{ONE}/app/{name}/hub.py", "hub\n")
    course.git("add", "--force", f"{ONE}/app/{name}/hub.py")
    course.write(f"{TWO}/app/{name}", "the user's own\n")

    first = course.propagate()

    assert first.status == 1
    assert f"{TWO}/app/{name}/hub.py: cannot be written" in first.out
    assert course.propagate().status == 1
    assert course.read(f"{TWO}/app/{name}") == "the user's own\n"
    (course.root / TWO / "app" / name).rename(course.root / "kept")
    result = course.propagate()
    assert result.status == 0, result
    assert course.read(f"{TWO}/app/{name}/hub.py") == "hub\n"


def test_a_folder_where_a_file_must_be_is_not_emptied(course: Course) -> None:
    course.write(f"{ONE}/data", "a file\n")
    course.write(f"{TWO}/data/rows.db", "the user's own")

    first = course.propagate()

    assert first.status == 1
    assert course.read(f"{TWO}/data/rows.db") == "the user's own"
    (course.root / TWO / "data").rename(course.root / "kept")
    assert course.propagate().status == 0
    assert course.read(f"{TWO}/data") == "a file\n"


def test_nothing_is_written_through_a_symbolic_link(course: Course, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    course.write(".gitignore", "/stage02_store/app/chat\n")
    (course.root / TWO / "app/chat").symlink_to(tmp_path / "outside")
    course.write(f"{ONE}/app/chat/hub.py", "hub\n")

    assert course.propagate().status == 1

    assert list((tmp_path / "outside").iterdir()) == []


def test_an_abort_says_what_is_in_its_way(course: Course) -> None:
    course.delete(f"{ONE}/app/todos/router.py")
    conflict_in_three(course)
    course.write(f"{THREE}/app/todos/router.py/cache.db", "the user's own")

    assert course.propagate("--abort").err.startswith(f"{THREE}: move away what is in the way of")
    assert "run python3 noxfile.py propagate --abort again" in course.propagate().err
    (course.root / THREE / "app/todos/router.py").rename(course.root / "kept")
    assert course.propagate("--abort").status == 0
    assert course.read(f"{THREE}/app/todos/router.py") == "routes = []\n"


def test_a_new_stage_is_adopted_once_it_is_a_copy(course: Course) -> None:
    course.git("mv", FOUR, "capstone_later")
    course.replace("stages.toml", FOUR, "capstone_later")
    assert "--adopt capstone_later" in course.propagate().err

    result = course.propagate("--adopt", "capstone")

    assert result.status == 0
    assert list(read_lock(course.root)) == [TWO, THREE, "capstone_later"]
    assert course.drift().status == 0


def test_the_first_stage_cannot_be_adopted(course: Course) -> None:
    assert "is the first stage" in course.propagate("--adopt", "1").err
    assert course.propagate("--adopt").status == 2


def test_a_stage_is_not_adopted_in_the_middle_of_a_conflict(course: Course) -> None:
    conflict_in_three(course)

    assert course.propagate("--adopt", "3").status == 2


def test_a_base_that_git_does_not_have_is_explained(course: Course) -> None:
    lock = course.read("stages.lock")
    course.write("stages.lock", lock.replace(read_lock(course.root)[TWO], "0123456789" * 4))

    result = course.propagate()

    assert (result.status, result.out) == (2, "")
    assert "git has no tree 0123456789" in result.err
    assert "git fetch --unshallow" in result.err
    assert result.err.count("\n") == 1


def test_a_full_clone_has_every_base(
    course: Course, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    course.replace(f"{ONE}/app/main.py", "line 2\n", "line two\n")
    course.commit()
    course.git("clone", "--quiet", str(course.root), str(tmp_path / "clone"))
    clone = Course(tmp_path / "clone", capsys)

    assert clone.propagate().status == 0
    assert "line two\n" in clone.read(f"{FOUR}/app/main.py")


def test_a_stage_that_is_not_on_disk_is_a_clear_error(course: Course) -> None:
    (course.root / TWO).rename(course.root / "elsewhere")
    course.write(f"{ONE}/README.md", "edited\n")

    assert course.propagate().err == f"{TWO} is in stages.toml, but not on disk\n"


def test_the_lock_is_small_and_always_written_the_same(course: Course) -> None:
    text = course.read("stages.lock")
    rows = read_lock(course.root)

    assert text == HEADER + "".join(f'"{stage}" = "{rows[stage]}"\n' for stage in LATER)
    shuffled = [f'"{stage}" = "{rows[stage]}"\n' for stage in reversed(LATER)]
    course.write("stages.lock", HEADER + "".join(shuffled) + '"gone" = "0"\n')
    course.propagate()
    assert course.read("stages.lock") == text


STEPS = ("replace", "unlink", "write_bytes")


class KilledError(BaseException):
    """The process dies here."""


@contextmanager
def killed_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Die at the given step: before a file is renamed or deleted, or half-way through a write."""
    left = steps
    originals = {name: getattr(Path, name) for name in STEPS}

    def dying(name: str) -> Any:
        def step(path: Path, *arguments: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                if name == "write_bytes":
                    originals[name](path, arguments[0][: len(arguments[0]) // 2])
                raise KilledError
            return originals[name](path, *arguments, **options)

        return step

    with monkeypatch.context() as patched:
        for name in originals:
            patched.setattr(Path, name, dying(name))
        yield


@contextmanager
def before_every_step(root: Path, keep: Callable[[], Path]) -> Iterator[None]:
    """Call `keep` where `killed_after` would die, with half of the written text in the copy."""
    originals = {name: getattr(Path, name) for name in STEPS}

    def watched(name: str) -> Any:
        def step(path: Path, *arguments: Any, **options: Any) -> Any:
            if path.is_relative_to(root):  # otherwise it is a temporary file
                copy = keep()
                if name == "write_bytes":
                    half = copy / path.relative_to(root)
                    originals[name](half, arguments[0][: len(arguments[0]) // 2])
            return originals[name](path, *arguments, **options)

        return step

    with pytest.MonkeyPatch.context() as patched:
        for name in originals:
            patched.setattr(Path, name, watched(name))
        yield


def edit_everything(course: Course) -> None:
    course.replace(f"{ONE}/app/main.py", "line 2\n", "line two\n")
    course.replace(f"{ONE}/app/main.py", "line 9\n", "line nine\n")
    course.write(f"{ONE}/app/added.py", "added\n", executable=True)
    course.delete(f"{ONE}/app/todos/router.py")
    course.write(f"{TWO}/app/todos/cache.db", "ignored")


def propagate_to_the_end(course: Course) -> None:
    for _ in range(3):
        if course.propagate().status == 0:
            return
        resolve(course, THREE, "line nine with users\n")
    raise AssertionError("three runs were not enough")


@pytest.mark.slow
def test_killed_at_any_moment_and_run_again_it_ends_the_same(
    course: Course, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit_everything(course)
    moments: list[Course] = []

    def keep_this_moment() -> Path:
        """Copy the state that a kill would leave now; return the copy's path."""
        copy = tmp_path / f"killed{len(moments)}"
        shutil.copytree(course.root, copy, symlinks=True)
        moments.append(Course(copy, capsys))
        return copy

    with before_every_step(course.root, keep_this_moment):
        stages = course.stages
        propagate_module.propagate(course.root, stages, stages[0])
    propagate_to_the_end(course)
    expected = course.everything()
    assert len(moments) > 15, len(moments)
    for number, moment in enumerate(moments):
        propagate_to_the_end(moment)
        assert moment.everything() == expected, f"killed after {number} steps"


def test_edits_made_after_a_kill_are_kept(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    course.write(f"{ONE}/app/a.txt", MAIN)
    course.propagate()
    for name in ("a.txt", "main.py"):
        course.replace(f"{ONE}/app/{name}", "line 2\n", "line two\n")
    with pytest.raises(KilledError), killed_after(7, monkeypatch):
        propagate_module.propagate(course.root, course.stages, course.stages[0])
    assert "line two\n" in course.read(f"{TWO}/app/a.txt"), "killed too early for this test"
    assert "line 2\n" in course.read(f"{TWO}/app/main.py"), "killed too late for this test"
    for name in ("a.txt", "main.py"):
        course.replace(f"{TWO}/app/{name}", "line 6\n", "line six\n")

    assert course.propagate().status == 0

    for name in ("a.txt", "main.py"):
        assert "line two\n" in course.read(f"{FOUR}/app/{name}")
        assert "line six\n" in course.read(f"{FOUR}/app/{name}")
    assert not course.exists(f"{TWO}/{UNFINISHED}")


def test_a_half_file_after_a_kill_does_not_belong_to_the_stage(
    course: Course, monkeypatch: pytest.MonkeyPatch
) -> None:
    course.replace(f"{ONE}/app/main.py", "line 2\n", "line two\n")
    with pytest.raises(KilledError), killed_after(4, monkeypatch):
        propagate_module.propagate(course.root, course.stages, course.stages[0])
    assert course.exists(f"{TWO}/{UNFINISHED}"), "killed at another step than this test needs"
    course.replace(f"{TWO}/app/main.py", "line 2\n", "line two\n")

    assert course.propagate().status == 0

    assert not any(course.root.rglob(UNFINISHED))
