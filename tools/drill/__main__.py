"""Breaks the production topology in eight ways under load; no write may be lost or repeated.

    python3 noxfile.py drill                      all eight, in about five minutes
    python3 noxfile.py drill 3 5               only those
    python3 noxfile.py drill --seconds 30      each at least that long

The drill starts a stack like that of `python3 noxfile.py stack` on free ports, with its own data. A
part that ends is started again, as Compose does. Meanwhile clients write, read, create jobs and
chat, and record everything that was acknowledged. Afterwards each of these writes must exist
exactly once; the exit code is 1 if not.

errors seen: failed requests, counted after the gateway's retry on the other process.
write … chat: the longest time without a successful answer of that kind, in seconds.
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
    parser.add_argument("--json", type=Path, metavar="PATH", help="write all figures to this file")
    parser.add_argument(
        "--markdown", type=Path, metavar="PATH", help="write the table to this file"
    )
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
        raise argparse.ArgumentTypeError(f"no such drill: {text}")
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
        stack.start()  # not in a thread, which would continue after a Ctrl-C
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
