"""The autograder for Gradescope has the right files and grades after it was unpacked."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from course.catalog.environment import stage_python, tools_python
from course.catalog.stages import ROOT, CourseError, find_stage, load_course
from tools.grade import autograder
from tools.tests.grade.running import HERE

STAGE = find_stage(load_course(), "1")
SYSTEM_PYTHON = Path("/usr/bin/python3")  # a Python that every user may run
as_root = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0,
    reason="Gradescope runs an autograder as root, who runs a submission as somebody else",
)


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory like Gradescope's /autograder, which every user may enter."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


def make(directory: Path, *arguments: str) -> Path:
    """Make the file; return its path."""
    file = directory / "autograder.zip"
    here = Path.cwd()
    try:
        assert autograder.main([str(file), "--stage=1", *arguments], ROOT) == 0
    finally:
        os.chdir(here)
    return file


def test_the_file_has_both_scripts_and_no_finished_stage(tmp_path: Path) -> None:
    with zipfile.ZipFile(make(tmp_path)) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        archive.extractall(tmp_path / "source")
    for name in ("setup.sh", "run_autograder"):
        assert entries[name].external_attr >> 16 == 0o100755
        subprocess.run(["bash", "-n", tmp_path / "source" / name], check=True)
    assert not [name for name in entries if "/app/" in name]
    assert {name.split("/")[1] for name in entries if name.startswith("tests/stage")} == {"stage01"}
    solution = (tmp_path / "source" / "solution-requirements.txt").read_text("utf-8")
    assert solution == (ROOT / STAGE.directory / "requirements.txt").read_text("utf-8")


def test_wrong_weights_make_no_file(tmp_path: Path) -> None:
    weights = tmp_path / "weights.toml"
    weights.write_text("[points]\n2 = 1\n", encoding="utf-8")
    with pytest.raises(CourseError, match="no row or stage '2'"):
        make(tmp_path, f"--weights={weights}")
    assert not (tmp_path / "autograder.zip").exists()


def run(place: Path, submission: Path, learner: str, *arguments: str) -> dict[str, Any]:
    """Unpack the file as Gradescope does, grade a submission, and return the result."""
    for name in ("results", "submission"):
        (place / name).mkdir()
    shutil.copytree(submission, place / "submission" / "folder", symlinks=True)
    with zipfile.ZipFile(make(place, *arguments)) as archive:
        archive.extractall(place / "source")
    # Stands in for the installation by setup.sh, which would take minutes and change this machine.
    (place / "source" / "grader").symlink_to(tools_python().parent.parent)
    (place / "solution").symlink_to(stage_python(STAGE).parent.parent)
    done = subprocess.run(
        ["bash", place / "source" / "run_autograder"],
        env=os.environ | {"AUTOGRADER": str(place), "LEARNER": learner},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    content: dict[str, Any] = json.loads((place / "results" / "results.json").read_text("utf-8"))
    return content


@as_root
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_good_submission_earns_its_points(place: Path, tmp_path: Path) -> None:
    weights = tmp_path / "weights.toml"
    weights.write_text('[points]\n1 = 100\n[visibility]\n"1.6" = "after_due_date"\n', "utf-8")
    results = run(place, ROOT / STAGE.directory, "root", f"--weights={weights}")
    assert sum(test["score"] for test in results["tests"]) == 100, results
    shown = {test["number"]: test["visibility"] for test in results["tests"]}
    assert (shown["1.5"], shown["1.6"]) == ("visible", "after_due_date")


@as_root
@pytest.mark.skipif(not SYSTEM_PYTHON.exists(), reason="no Python that every user may run")
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_hostile_submission_neither_reads_the_tests_nor_writes_its_result(
    place: Path, tmp_path: Path
) -> None:
    shutil.copy(HERE / "subjects" / "hostile.py", tmp_path)
    source, result = place / "source", place / "results" / "results.json"
    mine = place / "submission" / "folder" / "hostile.py"
    attacks = {
        "read": [str(source), str(source / "tools" / "grade" / "hints.toml"), str(mine)],
        "write": [str(result), str(place / "results" / "x"), str(source / "tests" / "x")],
    }
    (tmp_path / "attacks.json").write_text(json.dumps(attacks), encoding="utf-8")
    (tmp_path / "link").symlink_to(source)  # not to be given to the learner
    results = run(
        *(place, tmp_path, "nobody"),
        f"--cmd={SYSTEM_PYTHON} hostile.py {{port}} attacks.json",
    )
    assert {test["score"] for test in results["tests"]} == {0}
    assert source.stat().st_uid == 0
    came_of_it = json.loads(mine.with_name("attacked.json").read_text("utf-8"))
    assert came_of_it == {"read": [str(mine)], "write": []}
