"""Breaks the production topology in eight ways while it is used; nothing may be lost or doubled.

    python3 noxfile.py drill                      all eight, in about five minutes
    python3 noxfile.py drill 3 5               only those
    python3 noxfile.py drill --seconds 30      each at least that long

A stack like that of `python3 noxfile.py stack` is started on free ports, with data of its own. What ends there
is started again, as by Compose. Meanwhile clients write, read, ask for jobs and chat, and note
everything that was acknowledged; afterwards all of it has to be there, once. Exit code 1 if not.

errors seen: answers that a client could not use, after the gateway's retry on the other process.
write … chat: the longest time without a good answer of that kind, in seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from course.catalog.command import INTERRUPTED, run
from tools.drill.drills import DRILLS, HANDLED
from tools.drill.report import Result, as_markdown, as_text
from tools.drill.scene import supervised
from tools.stack.stack import Stack

FAILED = 1


def main(arguments: Sequence[str], _root: Path) -> int:
    """Run the drills; `CourseError` when the stack cannot be started."""
    parser = argparse.ArgumentParser(
        prog="python3 noxfile.py drill",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("numbers", nargs="*", type=_number, metavar="N", help="1 to 8")
    parser.add_argument("--seconds", type=float, default=20, help="default: %(default)s")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write all figures there")
    parser.add_argument("--markdown", type=Path, metavar="PATH", help="write the table there")
    options = parser.parse_args(arguments)
    directory = Path(tempfile.mkdtemp(prefix="drill-"))
    try:
        results = asyncio.run(_drill(directory, options.numbers or [*DRILLS], options.seconds))
    except (asyncio.CancelledError, KeyboardInterrupt):
        shutil.rmtree(directory, ignore_errors=True)
        return INTERRUPTED
    print(f"\n{as_text(results)}\n\nLoad of the machine: {os.getloadavg()[0]:.1f}")
    if options.json:
        text = json.dumps([result.as_json() for result in results], indent=2)
        options.json.write_text(text + "\n", encoding="utf-8")
    if options.markdown:
        options.markdown.write_text(as_markdown(results), encoding="utf-8")
    broken = [result for result in results if result.difference]
    for result in broken:
        for text in result.difference.lost:
            print(f"{result.number}: lost: {text}")
        for text in result.difference.doubled:
            print(f"{result.number}: doubled: {text}")
    if broken:
        print(f"The logs are in {directory / 'logs'}.")
        return FAILED
    shutil.rmtree(directory, ignore_errors=True)
    return 0


def _number(text: str) -> int:
    if not text.isdecimal() or int(text) not in DRILLS:
        raise argparse.ArgumentTypeError(f"there is no drill {text}")
    return int(text)


async def _drill(directory: Path, numbers: Sequence[int], seconds: float) -> list[Result]:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - for mypy
    for signal_number in HANDLED:
        asyncio.get_running_loop().add_signal_handler(signal_number, task.cancel)
    print("Starting the stack …", flush=True)
    stack = Stack(directory, first_port=0, with_prometheus=False)
    results: list[Result] = []
    try:
        stack.start()  # not in a thread: after a Ctrl-C that would go on
        async with supervised(stack) as scene:
            for number in numbers:
                title, drill = DRILLS[number]
                print(f"{number}. {title} …", flush=True)
                name = f"drill {number}.{len(results)}"
                record, note, difference = await scene.run(name, drill, seconds=seconds)
                results.append(Result(number, title, record, note, difference))
    finally:
        stack.stop()
    return results


if __name__ == "__main__":
    sys.exit(run(main))
