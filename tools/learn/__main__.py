"""`python3 noxfile.py learn 3`: write a stage yourself, one requirement at a time."""

from __future__ import annotations

import argparse
import queue
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from course.catalog.command import run
from course.catalog.environment import build
from course.catalog.parts import Runtime, runtime_of
from course.catalog.stages import ROOT, CourseError, Stage, find_step, load_course
from course.harness.learners import split_command
from tools.grade.words import LANGUAGES
from tools.learn.keys import typed
from tools.learn.loop import Loop, watch
from tools.learn.runs import open_bench
from tools.learn.screen import view_for
from tools.learn.starter import COMMANDS, LAST_STAGE_IN_NODE, make_starter
from tools.learn.state import State, last_directory, read_state, remember_directory, write_state


def main(arguments: Sequence[str], root: Path = ROOT) -> int:
    """Make the learner's directory if it is not there, and run the loop; return 0."""
    given = _parser().parse_args(arguments)
    stages = load_course(root)
    directory = _directory(given, stages, root)
    state = read_state(directory)
    if state is None:
        stage = find_step(stages, given.stage) if given.stage else None
        if stage is None:
            raise CourseError(f"{directory} has no .learn.json: name the stage, as in `learn 1`")
        chapter = stage.chapter.number if stage.chapter else 0
        if chapter and given.cmd:
            raise CourseError(f"{stage.step} is checked without --cmd: its tests start your app")
        runtime: Runtime = "node" if given.node else "python"
        state = State(stage.number, given.cmd or COMMANDS[runtime], chapter=chapter)
        _prepare(stages, stage, directory, runtime, own_command=bool(given.cmd))
    elif given.node and runtime_of(directory) != "node":
        raise CourseError(f"{directory} has no package.json: name another one with --in")
    stage = find_step(stages, state.step)
    if given.stage and find_step(stages, given.stage).step != stage.step:
        held = stage.step if stage.chapter else f"stage {stage.step}"
        raise CourseError(f"{directory} holds {held}: name another one with --in")
    state.command = given.cmd or state.command
    state.language = given.lang or state.language
    write_state(directory, state)
    remember_directory(directory)
    # A SIGTERM and a closed terminal end the loop as Ctrl-C does, together with the server.
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)
    events: queue.Queue[str] = queue.Queue()
    stop = threading.Event()
    threading.Thread(target=watch, args=[directory, events, stop], daemon=True).start()
    try:
        with (
            typed(events) as by_key,
            view_for(sys.stdout) as view,
            open_bench(stage, directory, split_command(state.command)) as bench,
        ):
            Loop(stage, directory, state, events, view, by_key=by_key).run(bench)
    except KeyboardInterrupt:
        return 0
    finally:
        stop.set()
    return 0


def _directory(given: argparse.Namespace, stages: Sequence[Stage], root: Path) -> Path:
    """Return the learner's directory: the one that is named, the stage's, or the last one."""
    if given.place:
        return Path(given.directory, given.place).resolve()
    if given.stage:
        stage = find_step(list(stages), given.stage)
        name = stage.step.replace("/", "") if stage.chapter else f"stage{stage.step}"
        return root.parent / f"my-{name}"
    last = last_directory()
    if last is None or not last.is_dir():
        raise CourseError("name a stage to begin with, as in `python3 noxfile.py learn 1`")
    return last


def _prepare(
    stages: Sequence[Stage],
    stage: Stage,
    directory: Path,
    runtime: Runtime,
    *,
    own_command: bool,
) -> None:
    """Make the starter and its environment, unless the directory holds a solution already."""
    if directory.exists() and any(directory.iterdir()):
        return  # a solution that was begun without this loop, or in another language
    if own_command:
        directory.mkdir(parents=True, exist_ok=True)
        return
    print(f"Making {directory} …", flush=True)
    make_starter(stages, stage, directory, runtime=runtime)
    if runtime == "node":
        return
    build(directory / ".venv", directory / "requirements.txt")
    (directory / ".venv.lock").unlink(missing_ok=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 noxfile.py learn",
        description="Write a stage yourself: one requirement, one failure, one hint at a time.",
    )
    parser.add_argument(
        "stage", nargs="?", help="1 to 8, or a chapter such as capstone/2; without it, the last one"
    )
    parser.add_argument(
        "--in", dest="place", metavar="DIR", help="your directory (default: ../my-stageN)"
    )
    parser.add_argument(
        "--node",
        action="store_true",
        help=f"make the starter in Node.js, stages 1 to {LAST_STAGE_IN_NODE}",
    )
    parser.add_argument("--lang", choices=LANGUAGES, help="the language of hints and messages")
    parser.add_argument(
        "--cmd", help="how your server starts, in any language; {port} becomes a free port"
    )
    parser.add_argument("--directory", type=Path, default=Path(), help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(run(main))
