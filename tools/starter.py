"""What learners begin with: `starter/stageNN`, made from the finished stage.

    python -m tools.starter             write all of them anew
    python -m tools.starter --check     one line for each file that is not as it would be written

A starter is the finished stage in which the lesson's own parts are left to do. `starter` in
`stages.toml` lists these parts, each with the rows of the requirements that it earns:

    "3.2 app/auth/router.py: sign_in"     a function without its body, or a class without its fields
    "3.4 app/todos/store.py"              a file as the stage before has it, or none at all

The order of the list is a good one to work in. A starter imports cleanly and starts. What is left
to do answers 501, and says which row it is.
"""

from __future__ import annotations

import argparse
import ast
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent, shorten, wrap

from tools.command import run
from tools.course import ROOT, CourseError, Stage, load_course
from tools.requirements import Requirement, load_requirements
from tools.trees import listed

STARTERS = "starter"
LAST_STAGE = 8  # the capstone is no exercise
LINE_LENGTH = 100
# Tests that restart a solution: they need to have started it.
RESTARTING = ("tests/stage01/test_memory.py::", "tests/stage02/test_persistence.py::test_a_")
# What these do at start: the server is to start, whatever is left to do.
AT_START = {
    "lifespan": "yield {}  # type: ignore[typeddict-item]",
    "find_highest_cost": "return 0",
}
# The lesson is linked, not copied; pictures are the lesson's.
LEFT_OUT = ("README.md", "gallery.png", "chat.png")

UNFINISHED = '''"""What is left to do answers 501 and says so. Delete this file when nothing is."""

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse


def answer_unfinished(app: FastAPI) -> None:
    """Give the application an answer for what raises `NotImplementedError`."""

    @app.exception_handler(NotImplementedError)
    async def answer_todo(_request: Request, error: NotImplementedError) -> Response:
        return JSONResponse({"detail": str(error)}, 501)
'''


@dataclass(frozen=True)
class Part:
    """A part of a file that is left to do; without names it is the whole file."""

    rows: tuple[str, ...]
    path: str
    names: tuple[str, ...]


def read_parts(stage: Stage) -> list[Part]:
    """Return what `stages.toml` leaves to do in a stage."""
    parts = []
    for line in stage.starter:
        rows, _, rest = line.partition(" ")
        path, _, names = rest.partition(":")
        names_given = tuple(name.strip() for name in names.split(",") if name.strip())
        parts.append(Part(tuple(rows.split("+")), path.strip(), names_given))
    return parts


def write_starter(stages: Sequence[Stage], stage: Stage, target: Path, root: Path = ROOT) -> None:
    """Write a stage's starter to `target`, which does not exist yet.

    Raises `CourseError` when a part that is left to do is not in the stage.
    """
    finished = root / stage.directory
    for path in listed(root, stage.directory):
        name = path.removeprefix(f"{stage.directory}/")
        if name not in LEFT_OUT:
            _copy(finished / name, target / name)
    texts = {row.id: row.text for row in load_requirements()}
    parts = read_parts(stage)
    for part in parts:
        if not part.names:
            (target / part.path).unlink()
            before = root / stages[stage.number - 2].directory / part.path
            if stage.number > 1 and before.exists():
                _copy(before, target / part.path)
    for path in dict.fromkeys(part.path for part in parts if part.names):
        of_the_file = [part for part in parts if part.path == path]
        source = (target / path).read_text(encoding="utf-8")
        (target / path).write_text(blanked(source, of_the_file, texts), encoding="utf-8")
    _answer_unfinished(target / "app")
    (target / "README.md").write_text(readme(stage, parts), encoding="utf-8")
    _tidy(target)


def blanked(source: str, parts: Sequence[Part], texts: dict[str, str]) -> str:
    """Return a module's source with a TODO for the body of every function or class named."""
    lines = source.splitlines()
    known = dict(definitions(ast.parse(source)))
    todo = [(name, part.rows) for part in parts for name in part.names]
    unknown = [name for name, _ in todo if name not in known]
    if unknown:
        raise CourseError(f"stages.toml, starter: {parts[0].path} has no {', '.join(unknown)}")
    # From the end of the file, so that the numbers of the lines before stay right.
    for name, rows in sorted(todo, key=lambda item: -known[item[0]].lineno):
        definition = known[name]
        has_docstring = ast.get_docstring(definition) is not None
        first = definition.body[0]
        # A comment may stand between the docstring and the body: it goes, too.
        start = first.end_lineno if has_docstring else first.lineno - 1
        margin = " " * first.col_offset
        words = todo_lines(rows, texts, LINE_LENGTH - len(margin))
        body = [f"# {line}" for line in words]
        if not isinstance(definition, ast.ClassDef):
            body.append(_placeholder(definition, shorten(" ".join(words), 60, placeholder=" …")))
        elif not has_docstring:
            body.append("...")
        lines[start : definition.end_lineno] = indent("\n".join(body), margin).splitlines()
    return "\n".join(lines) + "\n"


def todo_lines(rows: Sequence[str], texts: dict[str, str], width: int) -> list[str]:
    """Return `TODO 3.1: Registration` in lines of a comment."""
    said = "; ".join(texts[row] for row in rows)
    return wrap(f"TODO {', '.join(rows)}: {said}", width - len("# "))


def _placeholder(function: ast.FunctionDef | ast.AsyncFunctionDef, words: str) -> str:
    return AT_START.get(function.name, f'raise NotImplementedError("{words}")')


def definitions(
    node: ast.AST, prefix: str = ""
) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]]:
    """Yield functions and classes by name; one in another as `outer.inner`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield prefix + child.name, child
            yield from definitions(child, f"{prefix}{child.name}.")


def _answer_unfinished(app: Path) -> None:
    (app / "unfinished.py").write_text(UNFINISHED, encoding="utf-8")
    main = app / "main.py"
    source = main.read_text(encoding="utf-8")
    # Where among the imports it belongs is ruff's to say.
    source = source.replace(
        "\nfrom fastapi import FastAPI\n",
        "\nfrom fastapi import FastAPI\nfrom app.unfinished import answer_unfinished\n",
    )
    main.write_text(
        source.replace(
            "\nadd_error_handlers(app)\n", "\nadd_error_handlers(app)\nanswer_unfinished(app)\n"
        ),
        encoding="utf-8",
    )


def readme(stage: Stage, parts: Sequence[Part]) -> str:
    """Return the page of a starter: what to do, what it earns, and how to check it."""
    known = {row.id: row for row in load_requirements()}
    rows = [known[row_id] for row_id in dict.fromkeys(row for part in parts for row in part.rows)]
    restarting = [row.id for row in rows if any(test.startswith(RESTARTING) for test in row.tests)]
    only_so = f" Rows that need a restart can pass only so: {', '.join(restarting)}."
    place = f"{STARTERS}/{stage.name}"
    grade = f"python3 noxfile.py -s grade -- --stage {stage.number}"
    lines = [
        f"# Do it yourself: {stage.title[0].lower()}{stage.title[1:]}",
        "",
        stage.goal,
        "",
        f"This is the finished stage {stage.number} without the parts that its lesson is about."
        f" It starts, and what is left to do answers 501. The"
        f" [lesson](../../{stage.directory}/README.md) explains everything that you need.",
        "",
        "```bash",
        f"cd {place}",
        "python3 -m venv .venv && . .venv/bin/activate  # Windows: .venv\\Scripts\\activate",
        "pip install -r requirements.txt",
        "uvicorn app.main:app --reload",
        "```",
        "",
        "## What to do",
        "",
        "Search for `TODO`. The table is in a good order: what others stand on comes first. A row"
        " may need another one to be checked: it turns green when both are done. Take away"
        " `app/unfinished.py` last.",
        "",
        "| row | what it asks | where |",
        "|---|---|---|",
        *(f"| {row.id} | {row.text} | {_where(row, parts)} |" for row in rows),
        "",
        "## Check it",
        "",
        "From the top directory, while the server runs (stop any other server first, or take"
        " `--port 8001` here and in the address):",
        "",
        "```bash",
        f"{grade} --base-url http://127.0.0.1:8000",
        "```",
        "",
        "Or let the grading start the server; more is checked then."
        + (only_so if restarting else ""),
        "",
        "```bash",
        f'{grade} --cmd "uvicorn app.main:app --port {{port}}" --cwd {place}',
        "```",
        "",
        f"The whole stage, when you want to compare: `git diff --no-index {place}"
        f" {stage.directory}`.",
    ]
    return "\n".join(lines) + "\n"


def _where(row: Requirement, parts: Sequence[Part]) -> str:
    places = []
    for part in parts:
        if row.id in part.rows:
            names = ", ".join(f"`{name}`" for name in part.names)
            places.append(f"`{part.path}`: {names}" if names else f"`{part.path}`, all of it")
    return "<br>".join(places)


def _tidy(target: Path) -> None:
    """Take out the imports that nothing uses any more, and format what is left."""
    config = ["--quiet", "--no-cache", "--config", str(ROOT / "pyproject.toml"), str(target)]
    for command in (["check", "--fix", "--select", "F401,I"], ["format"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, *config], capture_output=True, text=True
        )
        if done.returncode != 0:
            raise CourseError(f"ruff {command[0]}: {done.stdout}{done.stderr}")


def differences(made: Path, kept: Path) -> Iterator[str]:
    """Yield the files of a starter that are not as they would be made now."""
    for path in sorted(_files(made) | _files(kept)):
        one, other = made / path, kept / path
        if not one.exists() or not other.exists() or one.read_bytes() != other.read_bytes():
            yield path


def _files(directory: Path) -> set[str]:
    """Return the files of a directory, without what a server or Python left there."""
    return {
        path.relative_to(directory).as_posix()
        for path in directory.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and ".venv" not in path.parts
    }


def _copy(original: Path, copy: Path) -> None:
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(original, copy)


def main(arguments: Sequence[str], root: Path = ROOT) -> int:
    """Write the starters, or print which files of them are not current and return 1."""
    parser = argparse.ArgumentParser(prog="python -m tools.starter", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    check = parser.parse_args(arguments).check
    stages = load_course(root)
    changed = 0
    for stage in stages[:LAST_STAGE]:
        kept = root / STARTERS / stage.name
        with tempfile.TemporaryDirectory() as directory:
            made = Path(directory) / stage.name
            write_starter(stages, stage, made, root)
            for path in differences(made, kept):
                changed += 1
                if check:
                    print(f"{STARTERS}/{stage.name}/{path}: run python3 noxfile.py -s starter")
                elif (made / path).exists():
                    _copy(made / path, kept / path)
                else:
                    (kept / path).unlink()
    if not check or not changed:
        print(f"{STARTERS}: {changed} files written" if changed else f"{STARTERS}: current")
    return 1 if check and changed else 0


if __name__ == "__main__":
    sys.exit(run(main))
