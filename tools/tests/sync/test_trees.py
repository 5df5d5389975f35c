"""The files of a stage as git sees them on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from course.catalog.stages import CourseError
from course.catalog.trees import Entry, content, listed, read_tree, tree_on_disk
from tools.tests.conftest import ONE, TWO, Course

ODD_NAMES = ["with space.py", "привет.py", 'quote"s.py', "new\nline.py", "-dash.py", "star*[x].py"]


def test_a_tree_written_and_read_again_holds_every_file(course: Course) -> None:
    files = read_tree(course.root, tree_on_disk(course.root, ONE).id)

    assert sorted(files) == ["README.md", "app/main.py", "app/todos/router.py", "requirements.txt"]
    assert {entry.mode for entry in files.values()} == {"100644"}
    assert content(course.root, files["README.md"].blob) == b"# A list\n\nOne.\n"


def test_the_tree_of_a_clean_checkout_is_the_one_in_its_commit(course: Course) -> None:
    assert tree_on_disk(course.root, TWO).id == course.git("rev-parse", f"HEAD:{TWO}").strip()


def test_uncommitted_untracked_and_executable_files_count(course: Course) -> None:
    course.write(f"{ONE}/app/main.py", "edited\n")
    course.write(f"{ONE}/run.sh", "#!/bin/sh\n", executable=True)
    course.delete(f"{ONE}/README.md")

    files = tree_on_disk(course.root, ONE).files

    assert content(course.root, files["app/main.py"].blob) == b"edited\n"
    assert files["run.sh"].mode == "100755"
    assert "README.md" not in files


def test_ignored_files_do_not_count(course: Course) -> None:
    before = tree_on_disk(course.root, ONE).id
    course.write(f"{ONE}/todo.db", "rows")
    course.write(f"{ONE}/app/__pycache__/main.pyc", b"\0")

    assert tree_on_disk(course.root, ONE).id == before


@pytest.mark.parametrize("name", ODD_NAMES)
def test_an_odd_file_name_is_kept(course: Course, name: str) -> None:
    course.write(f"{ONE}/{name}", "x\n")

    assert name in tree_on_disk(course.root, ONE).files
    assert f"{ONE}/{name}" in listed(course.root)


def test_staged_changes_of_the_user_stay_staged(course: Course) -> None:
    course.write(f"{ONE}/app/main.py", "staged\n")
    course.git("add", f"{ONE}/app/main.py")
    course.write(f"{ONE}/app/main.py", "on disk\n")
    before = course.git("diff", "--cached")

    files = tree_on_disk(course.root, ONE).files

    assert content(course.root, files["app/main.py"].blob) == b"on disk\n"
    assert course.git("diff", "--cached") == before


def test_line_endings_are_compared_as_gitattributes_says(course: Course) -> None:
    before = tree_on_disk(course.root, ONE).id
    course.write(f"{ONE}/README.md", b"# A list\r\n\r\nOne.\r\n")
    assert tree_on_disk(course.root, ONE).id != before

    course.write(".gitattributes", "* text=auto eol=lf\n")
    course.git("config", "core.safecrlf", "true")
    assert tree_on_disk(course.root, ONE).id == before


def test_a_file_that_became_a_directory_is_listed_as_one(course: Course) -> None:
    course.delete(f"{ONE}/README.md")
    course.write(f"{ONE}/README.md/part.md", "x\n")

    assert "README.md/part.md" in tree_on_disk(course.root, ONE).files
    assert "README.md" not in tree_on_disk(course.root, ONE).files


def test_an_empty_stage_has_the_empty_tree(course: Course) -> None:
    (course.root / "stage09_empty").mkdir()

    assert tree_on_disk(course.root, "stage09_empty").files == {}


def test_the_mode_of_the_index_counts_on_disks_without_modes(course: Course) -> None:
    course.git("config", "core.fileMode", "false")
    course.git("update-index", "--chmod=+x", f"{ONE}/README.md")

    assert tree_on_disk(course.root, ONE).files["README.md"].mode == "100755"


def test_a_course_may_be_a_folder_of_a_larger_repository(course: Course, tmp_path: Path) -> None:
    (course.root / ".git").rename(tmp_path / "kept")
    course.git("-C", str(tmp_path), "init", "--quiet")

    files = tree_on_disk(course.root, ONE).files

    assert set(files) >= {"README.md", "app/main.py"}
    assert all(isinstance(entry, Entry) for entry in files.values())


def test_a_symbolic_link_is_refused(course: Course) -> None:
    (course.root / ONE / "link.py").symlink_to("app/main.py")

    with pytest.raises(CourseError, match=r"link\.py is a symbolic link"):
        tree_on_disk(course.root, ONE)


def test_a_repository_inside_a_stage_is_refused(course: Course) -> None:
    course.git("init", "--quiet", f"{ONE}/inner")
    course.write(f"{ONE}/inner/file.py", "x\n")

    with pytest.raises(CourseError, match="a git repository of its own"):
        tree_on_disk(course.root, ONE)


def test_a_missing_tree_is_named_with_what_to_do(course: Course) -> None:
    with pytest.raises(CourseError, match="git fetch --unshallow"):
        read_tree(course.root, "0123456789" * 4)


@pytest.mark.parametrize("arguments", [["drift"], ["propagate"], ["diff", "1", "2"]])
def test_without_a_repository_the_error_is_one_line(course: Course, arguments: list[str]) -> None:
    (course.root / ".git").rename(course.root / "gone")
    tool, *rest = arguments

    result = getattr(course, tool)(*rest)

    assert result.status == 2
    assert "is not a git repository: clone the course" in result.err
    assert result.err.count("\n") == 1


def test_without_git_the_error_is_one_line(
    course: Course, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    result = course.drift()

    assert (result.status, result.out) == (2, "")
    assert result.err == "git is not on the PATH: install it\n"
