"""A receipt is valid only while none of the run's inputs has changed."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.run.receipts import KEPT, find_receipt, keep_receipt, last_duration, receipt_key


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small repository with one committed file, and no server named by the environment."""
    for name in ("DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "course"
    (root / "stage").mkdir(parents=True)
    (root / "stage" / "app.py").write_text("one", encoding="utf-8")
    (root / ".gitignore").write_text("*.db\n", encoding="utf-8")
    subprocess.run(["git", "init", "-q", root], check=True)
    subprocess.run(["git", "add", "."], cwd=root, check=True)
    return root


def changed_text(root: Path) -> None:
    (root / "stage" / "app.py").write_text("two", encoding="utf-8")


def changed_mode(root: Path) -> None:
    (root / "stage" / "app.py").chmod(0o755)


def a_new_file(root: Path) -> None:
    (root / "stage" / "new.py").touch()


def a_deleted_file(root: Path) -> None:
    (root / "stage" / "app.py").unlink()


def a_renamed_file(root: Path) -> None:
    (root / "stage" / "app.py").rename(root / "stage" / "other.py")


@pytest.mark.parametrize(
    "change", [changed_text, changed_mode, a_new_file, a_deleted_file, a_renamed_file]
)
def test_the_key_follows_every_change_of_a_file(root: Path, change: Callable[[Path], None]) -> None:
    before = receipt_key(["stage"], ["-x"], root)
    assert before is not None
    change(root)
    assert receipt_key(["stage"], ["-x"], root) != before


def test_the_key_follows_the_options(root: Path) -> None:
    assert receipt_key(["stage"], ["--inherited=quick"], root) != receipt_key(
        ["stage"], ["--inherited=full"], root
    )


def test_ignored_files_and_other_directories_do_not_change_the_key(root: Path) -> None:
    before = receipt_key(["stage"], [], root)
    (root / "stage" / "todo.db").touch()
    (root / "elsewhere.py").touch()
    assert receipt_key(["stage"], [], root) == before


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL"])
def test_no_key_covers_a_server_of_the_environment(
    root: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "redis://127.0.0.1:9")
    assert receipt_key(["stage"], [], root) is None


def test_without_git_there_is_no_key(tmp_path: Path) -> None:
    assert receipt_key(["."], [], tmp_path) is None


def test_a_receipt_is_found_under_its_own_key_only(tmp_path: Path) -> None:
    keep_receipt("stage02", "key", 12.34, tmp_path)
    found = find_receipt("stage02", "key", tmp_path)
    assert found is not None
    assert "in 12 s" in str(found)
    assert find_receipt("stage02", "other", tmp_path) is None
    assert find_receipt("stage03", "key", tmp_path) is None
    assert find_receipt("stage02", None, tmp_path) is None


def test_going_back_to_an_earlier_branch_finds_its_receipt(tmp_path: Path) -> None:
    for number in range(KEPT + 5):
        keep_receipt("check", f"key {number}", number, tmp_path)
    assert find_receipt("check", "key 4", tmp_path) is None
    assert find_receipt("check", "key 5", tmp_path) is not None
    assert last_duration("check", tmp_path) == KEPT + 4


@pytest.mark.parametrize("text", ["", "{", "[1]", '[{"unknown": 1}]'])
def test_a_damaged_receipt_is_ignored(tmp_path: Path, text: str) -> None:
    (tmp_path / "check.json").write_text(text, encoding="utf-8")
    assert find_receipt("check", "key", tmp_path) is None
    assert last_duration("check", tmp_path) is None
    keep_receipt("check", "key", 1, tmp_path)
    assert find_receipt("check", "key", tmp_path) is not None
