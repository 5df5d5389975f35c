"""Make a starter: the finished stage without the parts that its lesson teaches.

    python3 noxfile.py starter 3 ../my-stage3
    python3 noxfile.py starter capstone/2 ../my-capstone2
    python3 noxfile.py starter 3 ../my-node3 --node             the same stage in Node.js

`starter` in `stages.toml` lists these parts, each with the rows of the requirements that it earns:

    "3.2 app/auth/router.py: sign_in"     a function without its body, or a class without its fields
    "3.4 app/todos/service.py"              a file as the stage before has it, or an empty one
    "C.1 app/quotas.py: Quotas.take = return"    a function that has only this statement
    "C.13 compose.yaml: volumes"            a YAML file without this key

The list is in a good working order. A starter imports cleanly and starts. A missing part answers
501 and names its row. The starter of a chapter has all other chapters finished, also later ones.
`starter_node` lists the parts in Node.js, which are functions.
"""

from __future__ import annotations

import argparse
import ast
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from textwrap import indent, shorten, wrap

from course.catalog.command import run
from course.catalog.parts import Part, Runtime, comment_of, read_parts
from course.catalog.requirements import Requirement, load_requirements
from course.catalog.stages import ROOT, CourseError, Stage, find_step, load_course
from tools.learn.agents import agents_page
from tools.learn.finished import finished_files, texts_of_rows
from tools.learn.source import definitions, spans

LAST_STAGE = 8  # each chapter of the capstone has a starter; the capstone as a whole has none
LAST_STAGE_IN_NODE = 3
# How the grader starts the server of a starter.
COMMANDS: Mapping[Runtime, str] = {
    "python": "uvicorn app.main:app --port {port}",
    "node": "node server.js",  # it reads PORT
}
LINE_LENGTH = 100
PYTHON = ".py"
# Tests that restart a solution work only when the grader has started it.
RESTARTING = ("tests/stage01/test_memory.py::", "tests/stage02/test_persistence.py::test_a_")
# Bodies of functions that run at the start: a starter must start, even with all parts missing.
AT_START = {
    "lifespan": "yield {}  # type: ignore[typeddict-item]",
    "find_highest_cost": "return 0",
}
# A line of `app/main.py`, and the lines that a starter adds after it. Without `app/unfinished.py`
# they do nothing, so a learner may delete that file first.
ADDED_TO_MAIN = (
    (
        "from fastapi import FastAPI",
        "from contextlib import suppress\nfrom importlib import import_module",
    ),
    (
        "add_error_handlers(app)",
        "with suppress(ModuleNotFoundError):  # delete them with app/unfinished.py\n"
        '    import_module("app.unfinished").answer_unfinished(app)',
    ),
)
# The same in `http.js`: lines before a line.
ERROR_IN_HTTP = "  console.error(error.stack);\n"
ADDED_TO_HTTP = """\
  // A part that is left to do answers 501. Delete these two lines when all are done.
  if (`${error.message}`.startsWith('TODO ')) return json(501, { detail: error.message });
"""
# The starter's page links to the lesson, so the lesson and its pictures are not copied.
LEFT_OUT = ("README.md", "gallery.png", "chat.png")
LESSONS = "lessons/"
PAGE = "README.md"  # of the starter; a part with this path is a section of it

UNFINISHED = '''"""Each part that is left to do answers 501. Delete this file when all are done."""

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse


def answer_unfinished(app: FastAPI) -> None:
    """Give the application an answer for a handler that raises `NotImplementedError`."""

    @app.exception_handler(NotImplementedError)
    async def answer_todo(_request: Request, error: NotImplementedError) -> Response:
        return JSONResponse({"detail": str(error)}, 501)
'''


def make_starter(
    stages: Sequence[Stage],
    stage: Stage,
    target: Path,
    root: Path = ROOT,
    *,
    runtime: Runtime = "python",
) -> None:
    """Make a stage's starter in `target`, a directory that is empty or does not exist.

    Raises `CourseError` and leaves `target` as it was if it is not empty, or if the stage lacks a
    part that `stages.toml` lists.
    """
    if runtime == "node" and stage.number > LAST_STAGE_IN_NODE:
        raise CourseError(
            f"{stage.directory} has no starter in Node.js: choose a stage from 1 to"
            f" {LAST_STAGE_IN_NODE}"
        )
    if stage.number > LAST_STAGE and stage.chapter is None:
        chapters = " or ".join(f"{stage.name}/{chapter.number}" for chapter in stage.chapters)
        raise CourseError(
            f"{stage.directory} has no starter: choose a stage from 1 to {LAST_STAGE}"
            + (f", or a chapter: {chapters}" if chapters else "")
        )
    with tempfile.TemporaryDirectory() as directory:
        made = Path(directory) / stage.name
        try:
            if target.exists() and any(target.iterdir()):
                raise CourseError(f"{target} is not empty: name a new directory")
            write = _write_node if runtime == "node" else _write
            write(stages, stage, made, _seen_from(root, target), root)
            shutil.copytree(made, target, dirs_exist_ok=True)
        except OSError as error:
            raise CourseError(str(error)) from error


def _seen_from(root: Path, target: Path) -> str:
    """Return the path of `target` for commands that run in `root`, such as `../my-stage3`."""
    try:
        return Path(os.path.relpath(target, root)).as_posix()
    except ValueError:  # another drive of Windows
        return target.resolve().as_posix()


def _write(
    stages: Sequence[Stage], stage: Stage, made: Path, place: str, root: Path = ROOT
) -> None:
    """Write a starter to `made`; its page names the directory `place`."""
    parts, texts = _copy_finished(stage, "python", made, root), texts_of_rows("python")
    in_files = [part for part in parts if part.path != PAGE]
    for part in in_files:
        if not part.names:
            (made / part.path).unlink()
            before = root / stages[stage.number - 2].directory / part.path
            old = before.read_text(encoding="utf-8") if stage.number > 1 and before.exists() else ""
            (made / part.path).write_text(with_todo(old, part, texts), encoding="utf-8")
    for path in dict.fromkeys(part.path for part in in_files if part.names):
        of_the_file = [part for part in parts if part.path == path]
        source = (made / path).read_text(encoding="utf-8")
        without = blanked if path.endswith(PYTHON) else without_keys
        (made / path).write_text(without(source, of_the_file, texts), encoding="utf-8")
    _answer_unfinished(made / "app")
    _write_pages(stage, parts, made, place, "python")
    _tidy(made)


def _write_node(_: Sequence[Stage], stage: Stage, made: Path, place: str, root: Path) -> None:
    """Write a starter in Node.js."""
    parts, texts = _copy_finished(stage, "node", made, root), texts_of_rows("node")
    for path in dict.fromkeys(part.path for part in parts):
        source = (made / path).read_text(encoding="utf-8")
        of_the_file = [part for part in parts if part.path == path]
        (made / path).write_text(blanked_javascript(source, of_the_file, texts), encoding="utf-8")
    http = made / "http.js"
    source = http.read_text(encoding="utf-8")
    if ERROR_IN_HTTP not in source:
        raise CourseError(f"http.js has no line {ERROR_IN_HTTP!r}: change it in starter.py too")
    source = source.replace(ERROR_IN_HTTP, ADDED_TO_HTTP + ERROR_IN_HTTP)
    http.write_text(source, encoding="utf-8")
    _write_pages(stage, parts, made, place, "node")


def _copy_finished(stage: Stage, runtime: Runtime, made: Path, root: Path) -> list[Part]:
    """Copy the finished stage without its lesson; return the parts that are in it."""
    for name, original in finished_files(stage, runtime, root).items():
        if name not in LEFT_OUT and not name.startswith(LESSONS):
            _copy(original, made / name)
    parts = read_parts(stage, runtime)
    for part in parts:
        if part.path != PAGE and not (made / part.path).exists():
            raise CourseError(f"stages.toml, starter: {stage.directory} has no {part.path}")
    return parts


def _write_pages(
    stage: Stage, parts: Sequence[Part], made: Path, place: str, runtime: Runtime
) -> None:
    rows = rows_of(parts, runtime)
    (made / PAGE).write_text(readme(stage, parts, place, runtime), encoding="utf-8")
    (made / "AGENTS.md").write_text(agents_page(stage, rows, runtime), encoding="utf-8")


def blanked(source: str, parts: Sequence[Part], texts: dict[str, str]) -> str:
    """Return a module's source with a TODO for the body of every function or class named."""
    lines = source.splitlines()
    known = dict(definitions(ast.parse(source)))
    todo = _todo(parts, known)
    # From the end of the file, since an edit moves only the lines after it.
    for name, part in sorted(todo, key=lambda item: -known[item[0]].lineno):
        definition = known[name]
        has_docstring = ast.get_docstring(definition) is not None
        first = definition.body[0]
        # Also remove a comment between the docstring and the body.
        start = first.end_lineno if has_docstring else first.lineno - 1
        margin = " " * first.col_offset
        words = todo_lines(part.rows, texts, LINE_LENGTH - len(margin))
        body = [f"# {line}" for line in words]
        if name in part.stubs:
            body.append(part.stubs[name])
        elif not isinstance(definition, ast.ClassDef):
            body.append(_placeholder(definition, shorten(" ".join(words), 60, placeholder=" …")))
        elif not has_docstring:
            body.append("...")
        lines[start : definition.end_lineno] = indent("\n".join(body), margin).splitlines()
    return "\n".join(lines) + "\n"


def blanked_javascript(source: str, parts: Sequence[Part], texts: dict[str, str]) -> str:
    """Return a file of JavaScript with a TODO for the body of every function named."""
    lines = source.splitlines()
    known = spans(parts[0].path, source)
    for name, part in sorted(_todo(parts, known), key=lambda item: -known[item[0]][0]):
        start, end = known[name]
        margin = " " * (len(lines[start]) - len(lines[start].lstrip()) + 2)
        words = todo_lines(part.rows, texts, LINE_LENGTH - len(margin))
        said = shorten(" ".join(words), 60, placeholder=" …")
        last = part.stubs.get(name, f"throw new Error('{said}');")
        body = [*(f"{comment_of('.js')} {line}" for line in words), last]
        # The line with the signature and the one with the closing brace stay.
        lines[start + 1 : end - 1] = indent("\n".join(body), margin).splitlines()
    return "\n".join(lines) + "\n"


def _todo(parts: Sequence[Part], known: Mapping[str, object]) -> list[tuple[str, Part]]:
    """Return the names to write in one file with their parts; all must be in it."""
    todo = [(name, part) for part in parts for name in part.names]
    unknown = [name for name, _ in todo if name not in known]
    if unknown:
        raise CourseError(f"stages.toml, starter: {parts[0].path} has no {', '.join(unknown)}")
    return todo


def without_keys(source: str, parts: Sequence[Part], texts: dict[str, str]) -> str:
    """Return a YAML file with a TODO for each key named, such as `services.redis`."""
    lines = source.splitlines()
    for part in parts:
        for name in part.names:
            start, end = 0, len(lines)
            for depth, key in enumerate(name.split(".")):
                margin = "  " * depth
                start = _find_key(lines, f"{margin}{key}:", start, end, parts[0].path)
                after = (
                    number
                    for number in range(start + 1, end)
                    if lines[number].strip() and not lines[number].startswith(f"{margin} ")
                )
                end = next(after, end)
            words = todo_lines(part.rows, texts, LINE_LENGTH - len(margin))
            lines[start:end] = [f"{margin}# {line}" for line in words] + [""]
    return "\n".join(lines).rstrip() + "\n"


def _find_key(lines: Sequence[str], key: str, start: int, end: int, path: str) -> int:
    for number in range(start, end):
        if lines[number].startswith(key):
            return number
    raise CourseError(f"stages.toml, starter: {path} has no {key.strip(' :')}")


def with_todo(source: str, part: Part, texts: dict[str, str]) -> str:
    """Return a file with a TODO for all of it, after the docstring of a module."""
    body = ast.parse(source).body if part.path.endswith(PYTHON) else []
    has_docstring = bool(body) and isinstance(body[0], ast.Expr)
    after = (body[0].end_lineno or 0) if has_docstring else 0
    todo = [f"# {line}" for line in todo_lines(part.rows, texts, LINE_LENGTH)]
    lines = source.splitlines()
    return "\n".join([*lines[:after], *([""] if after else []), *todo, *lines[after:]]) + "\n"


def todo_lines(rows: Sequence[str], texts: dict[str, str], width: int) -> list[str]:
    """Return `TODO 3.1: Registration` in lines of a comment."""
    said = "; ".join(texts[row] for row in rows)
    return wrap(f"TODO {', '.join(rows)}: {said}", width - len("# "))


def _placeholder(function: ast.FunctionDef | ast.AsyncFunctionDef, words: str) -> str:
    return AT_START.get(function.name, f'raise NotImplementedError("{words}")')


def _answer_unfinished(app: Path) -> None:
    (app / "unfinished.py").write_text(UNFINISHED, encoding="utf-8")
    main = app / "main.py"
    source = main.read_text(encoding="utf-8")
    for line, added in ADDED_TO_MAIN:
        if f"\n{line}\n" not in source:
            raise CourseError(
                f"app/main.py has no line {line!r}: change it in tools/learn/starter.py too"
            )
        # ruff sorts the import later.
        source = source.replace(f"\n{line}\n", f"\n{line}\n{added}\n")
    main.write_text(source, encoding="utf-8")


def rows_of(parts: Sequence[Part], runtime: Runtime = "python") -> list[Requirement]:
    """Return the requirements that these parts earn, in their order."""
    texts = texts_of_rows(runtime)
    known = {row.id: replace(row, text=texts[row.id]) for row in load_requirements()}
    return [known[row_id] for row_id in dict.fromkeys(row for part in parts for row in part.rows)]


def readme(stage: Stage, parts: Sequence[Part], place: str, runtime: Runtime = "python") -> str:
    """Return the page of a starter: the tasks, the rows that they earn, and how to check them.

    The commands run in the course's directory, where `place` is the path of the starter.
    """
    if stage.chapter is not None:
        return _page_of_chapter(stage, parts, place)
    rows = rows_of(parts, runtime)
    restarting = [row.id for row in rows if any(test.startswith(RESTARTING) for test in row.tests)]
    only_so = f" Rows that need a restart pass only with `--cmd`: {', '.join(restarting)}."
    quoted = shlex.quote(place)
    grade = f"python3 noxfile.py grade --stage {stage.number}"
    if runtime == "node":
        explained = "the ideas. Its code is Python, and `docs/contract.md` says what to answer."
        explained += " You need Node.js 20.12 or newer, and no packages."
        last, other_port = "Delete the two lines about 501 in `http.js` last.", "`PORT=8001`"
    else:
        explained = "everything that you need."
        last, other_port = "Delete `app/unfinished.py` last.", "`--port 8001` here"
    lines = [
        f"# Do it yourself: {stage.title[0].lower()}{stage.title[1:]}",
        "",
        stage.goal,
        "",
        f"This directory holds stage {stage.number} without the parts that its lesson is about."
        f" It starts, and each missing part answers 501. The lesson,"
        f" `{stage.lesson}` in the course, explains {explained}"
        f" Start all commands in the course's directory.",
        "",
        *_how_to_run(quoted, runtime),
        "",
        "## What to do",
        "",
        "Search for `TODO`. The table is in a good order: each row builds on the rows above it."
        " Some rows can be checked only when another row is done too: both turn green together. "
        + last,
        "",
        *_table(rows, parts),
        "",
        "## Check it",
        "",
        "In a second terminal, while the server runs (stop any other server first, or use"
        f" {other_port} and 8001 in the address):",
        "",
        "```bash",
        f"{grade} --base-url http://127.0.0.1:8000",
        "```",
        "",
        "Or let the grader start the server; it checks more then."
        + (only_so if restarting else ""),
        "",
        "```bash",
        f'{grade} --cmd "{COMMANDS[runtime]}" --cwd {quoted}',
        "```",
        "",
        "Compare with the whole stage when you are done:",
        "",
        "```bash",
        f"python3 noxfile.py compare {stage.number} {quoted}",
        "```",
    ]
    return "\n".join(lines) + "\n"


def _page_of_chapter(stage: Stage, parts: Sequence[Part], place: str) -> str:
    """Return the page of a chapter's starter, whose rows the course's own tests check."""
    quoted = shlex.quote(place)
    sections = [part for part in parts if part.path == PAGE]
    texts = {row.id: row.text for row in load_requirements()}
    todo = [line for part in sections for line in todo_lines(part.rows, texts, LINE_LENGTH)]
    lines = [
        f"# Do it yourself: {stage.title}",
        "",
        f"This directory holds the capstone without the parts that this chapter is about. All other"
        f" chapters are finished, also the later ones. The app starts. A missing part does the"
        f" plainest thing, or answers 501. The lesson, `{stage.lesson}` in the course, explains"
        f" everything that you need. Start all commands in the course's directory.",
        "",
        "```bash",
        f"python3 noxfile.py learn {stage.step} --in {quoted}",
        "```",
        "",
        "To run the app yourself, as one process:",
        "",
        *_how_to_run(quoted),
        "",
        "## What to do",
        "",
        "Search for `TODO`. The table is in a good order. Delete `app/unfinished.py` last.",
        "",
        *_table(rows_of(parts), parts),
        "",
        "## Check it",
        "",
        "The course's own tests check a chapter, because most of its rows concern PostgreSQL, Redis"
        " and files, which no client sees. The tests start your app in the environment of the"
        " capstone, with a PostgreSQL and a Redis of their own. `--row` checks only one row.",
        "",
        "```bash",
        f"python3 noxfile.py grade --stage {stage.step} --cwd {quoted}",
        "```",
        "",
        "Compare with the whole chapter when you are done:",
        "",
        "```bash",
        f"python3 noxfile.py compare {stage.step} {quoted}",
        "```",
        *(["", *(f"# {line}" for line in todo), "", "Replace this page with yours."] * bool(todo)),
    ]
    return "\n".join(lines) + "\n"


def _how_to_run(quoted: str, runtime: Runtime = "python") -> list[str]:
    if runtime == "node":
        return ["```bash", f"cd {quoted}", "node --watch server.js", "```"]
    return [
        "```bash",
        f"cd {quoted}",
        "python3 -m venv .venv && . .venv/bin/activate  # Windows: .venv\\Scripts\\activate",
        "pip install -r requirements.txt",
        "uvicorn app.main:app --reload",
        "```",
    ]


def _table(rows: Sequence[Requirement], parts: Sequence[Part]) -> list[str]:
    return [
        "| row | what it asks | where |",
        "|---|---|---|",
        *(f"| {row.id} | {row.text} | {_where(row, parts)} |" for row in rows),
    ]


def _where(row: Requirement, parts: Sequence[Part]) -> str:
    places: dict[str, list[str]] = {}
    for part in parts:
        if row.id in part.rows:
            places.setdefault(part.path, []).extend(f"`{name}`" for name in part.names)
    return "<br>".join(
        f"`{path}`: {', '.join(names)}" if names else f"`{path}`, all of it"
        for path, names in places.items()
    )


def _tidy(target: Path) -> None:
    """Remove unused imports and format the files."""
    config = ["--quiet", "--no-cache", "--config", str(ROOT / "pyproject.toml"), str(target)]
    for command in (["check", "--fix", "--select", "F401,I"], ["format"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, *config], capture_output=True, text=True
        )
        if done.returncode != 0:
            raise CourseError(f"ruff {command[0]}: {done.stdout}{done.stderr}")


def _copy(original: Path, copy: Path) -> None:
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(original, copy)


def main(arguments: Sequence[str], root: Path = ROOT) -> int:
    """Make the starter that the command line asks for; return 0."""
    parser = argparse.ArgumentParser(
        prog="python3 noxfile.py starter",
        description="Make a stage, or a chapter, without the parts that its lesson is about.",
    )
    parser.add_argument("stage", help=f"1 to {LAST_STAGE}, or a chapter such as capstone/2")
    parser.add_argument("target", help="a directory that is empty or does not exist yet")
    parser.add_argument(
        "--node", action="store_true", help=f"in Node.js, stages 1 to {LAST_STAGE_IN_NODE}"
    )
    parser.add_argument("--directory", type=Path, default=Path(), help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    stages = load_course(root)
    stage = find_step(stages, given.stage)
    runtime: Runtime = "node" if given.node else "python"
    make_starter(stages, stage, given.directory / given.target, root, runtime=runtime)
    what = stage.step if stage.chapter else f"stage {stage.step}"
    print(f"The starter of {what} is in {given.target}. Next: read its README.md.")
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
