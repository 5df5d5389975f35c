"""Check that each stage's OpenAPI document still offers everything of the stage before it.

    python -m tools.sync.openapi

A later stage may add operations, optional parameters and properties. It may not remove an
operation, a parameter, a property or a success response, and it may not require anything new of old
clients.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Any

from course.catalog.command import run
from course.catalog.environment import stage_python
from course.catalog.stages import ROOT, Stage, load_course

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
DEADLINE_SECONDS = 120.0  # for all stages together
# One process imports all stages, since most of the time goes into importing libraries. It prints
# one document a line; output of the apps goes elsewhere.
PROGRAM = """
import importlib, json, sys
stdout, sys.stdout = sys.stdout, sys.stderr
for directory in sys.argv[1:]:
    sys.path.insert(0, directory)
    try:
        said = json.dumps({"document": importlib.import_module("app.main").app.openapi()})
    except BaseException as error:
        said = json.dumps({"problem": f"{type(error).__name__}: {error}"})
    sys.path.remove(directory)
    for name in [name for name in sys.modules if name.partition(".")[0] == "app"]:
        del sys.modules[name]
    stdout.write(said + "\\n")
    stdout.flush()
"""

Document = dict[str, Any]


def main(arguments: Sequence[str], root: Path = ROOT) -> int:
    """Print every operation, parameter or property that a stage lost and return 1, else 0."""
    argparse.ArgumentParser(prog="python -m tools.sync.openapi", description=__doc__).parse_args(
        arguments
    )
    stages = load_course(root)
    problems: list[str] = []
    documents: dict[Stage, Document] = {}
    for stage, found in read_documents(root, stages, stage_python(stages[-1])).items():
        if isinstance(found, str):
            problems.append(found)
        else:
            documents[stage] = found
    for previous, stage in pairwise(stages):
        if previous in documents and stage in documents:
            lost = missing(documents[previous], documents[stage])
            problems += [f"{stage.directory} against {previous.directory}: {line}" for line in lost]
    for line in problems:
        print(line)
    if problems:
        return 1
    operations = sum(1 for _ in _operations(documents[stages[-1]]))
    print(f"OpenAPI: {len(stages)} stages, nothing lost; the last one has {operations} operations.")
    return 0


def read_documents(
    root: Path, stages: Sequence[Stage], python: Path
) -> dict[Stage, Document | str]:
    """Return the OpenAPI document of each stage's app, or a line with the reason why it is missing.

    `python` is the last stage's: its environment has the packages of all stages in the same
    versions. The apps run in an empty directory.
    """
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONIOENCODING": "utf-8"}
    environment.pop("PYTHONPATH", None)  # it could hold another `app`
    environment.pop("PYTHONPYCACHEPREFIX", None)  # the stage's environment already has the bytecode
    command = [str(python), "-c", PROGRAM, *(str(root / stage.directory) for stage in stages)]
    with tempfile.TemporaryDirectory(prefix="course-") as scratch:
        output, errors = Path(scratch) / "output", Path(scratch) / "errors"
        (empty := Path(scratch) / "empty").mkdir()
        with output.open("wb") as stdout, errors.open("wb") as stderr:
            try:
                code = subprocess.run(
                    command,
                    cwd=empty,
                    env=environment,
                    stdout=stdout,
                    stderr=stderr,
                    timeout=DEADLINE_SECONDS,
                ).returncode
                end = f"exit status {code}"
            except subprocess.TimeoutExpired:
                end = f"importing app.main took more than {DEADLINE_SECONDS:.0f} s"
        answers = [json.loads(line) for line in output.read_bytes().splitlines()]
        last = errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
    documents: dict[Stage, Document | str] = {}
    # A stage without an answer has ended or blocked the process, so later stages have no answer
    # either.
    for stage, answer in zip_longest(stages, answers):
        problem = " ".join([f"{end}:", *last]) if answer is None else answer.get("problem")
        documents[stage] = (
            f"{stage.directory}: app.main has no OpenAPI document: {problem}"
            if problem
            else answer["document"]
        )
        if answer is None:
            break
    return documents


def missing(before: Document, after: Document) -> list[str]:
    """Return a line for each part of `before` that `after` does not offer any more."""
    offered = dict(_operations(after))
    problems = []
    for name, operation in _operations(before):
        if name not in offered:
            problems.append(f"{name} is gone")
            continue
        new = offered[name]
        lost = [
            *_parameters(_parameters_of(before, operation), _parameters_of(after, new)),
            *_request_body(before, operation, after, new),
            *_responses(before, operation, after, new),
        ]
        problems += [f"{name}: {problem}" for problem in lost]
    return problems


def _operations(document: Document) -> Iterator[tuple[str, Document]]:
    for path, item in document.get("paths", {}).items():
        for method in METHODS:
            if method in item:
                shared = item.get("parameters", [])
                own = item[method].get("parameters", [])
                yield f"{method.upper()} {path}", item[method] | {"parameters": [*shared, *own]}


def _parameters_of(document: Document, operation: Document) -> dict[tuple[str, str], bool]:
    found = (_resolve(document, parameter) for parameter in operation["parameters"])
    return {(p["name"], p["in"]): p.get("required", False) for p in found}


def _parameters(
    before: dict[tuple[str, str], bool], after: dict[tuple[str, str], bool]
) -> Iterator[str]:
    for name, place in before.keys() - after.keys():
        yield f"the {place} parameter {name} is gone"
    for (name, place), required in after.items():
        if required and not before.get((name, place), False):
            yield f"the {place} parameter {name} is required now"


def _request_body(before: Document, old: Document, after: Document, new: Document) -> Iterator[str]:
    body = _resolve(before, old.get("requestBody", {}))
    new_body = _resolve(after, new.get("requestBody", {}))
    if new_body.get("required", False) and not body.get("required", False):
        yield "the request body is required now"
    for media_type, content in body.get("content", {}).items():
        if media_type not in new_body.get("content", {}):
            yield f"it takes no {media_type} body any more"
            continue
        shape = _shape(before, content.get("schema", {}))
        new_shape = _shape(after, new_body["content"][media_type].get("schema", {}))
        for name in sorted(shape.names - new_shape.names):
            yield f"the {media_type} body has no {name} any more"
        for name in sorted(new_shape.required - shape.required):
            # Old clients leave a new, optional part out, so its required properties do not matter.
            parent = name.rpartition(".")[0]
            if not parent or parent in shape.names:
                yield f"the {media_type} body must have {name} now"


def _responses(before: Document, old: Document, after: Document, new: Document) -> Iterator[str]:
    for status, response in old.get("responses", {}).items():
        if not status.startswith("2"):
            continue
        if status not in new.get("responses", {}):
            yield f"it does not answer {status} any more"
            continue
        content = _resolve(before, response).get("content", {})
        new_content = _resolve(after, new["responses"][status]).get("content", {})
        for media_type, media in content.items():
            if media_type not in new_content:
                yield f"its {status} answer is not {media_type} any more"
                continue
            names = _shape(before, media.get("schema", {})).names
            new_names = _shape(after, new_content[media_type].get("schema", {})).names
            for name in sorted(names - new_names):
                yield f"its {status} answer has no {name} any more"


@dataclass
class _Shape:
    """The properties of a schema by dotted name (`items[].title`), and the required ones."""

    names: set[str] = field(default_factory=set)
    required: set[str] = field(default_factory=set)

    def take(self, other: _Shape) -> None:
        self.names |= other.names
        self.required |= other.required


def _shape(
    document: Document, schema: Document, prefix: str = "", seen: tuple[str, ...] = ()
) -> _Shape:
    reference = schema.get("$ref")
    if reference in seen:
        return _Shape()  # a schema that holds itself
    if reference is not None:
        seen = (*seen, reference)
    schema = _resolve(document, schema)
    shape = _Shape()
    for name, inner in schema.get("properties", {}).items():
        shape.names.add(prefix + name)
        if name in schema.get("required", []):
            shape.required.add(prefix + name)
        shape.take(_shape(document, inner, f"{prefix}{name}.", seen))
    if "items" in schema:
        # The list itself is a property too, so an object in its place is a loss.
        items = prefix.removesuffix(".") + "[]"
        shape.names.add(items)
        shape.take(_shape(document, schema["items"], f"{items}.", seen))
    for part in schema.get("allOf", []):
        shape.take(_shape(document, part, prefix, seen))
    for keyword in ("anyOf", "oneOf"):
        variants = [
            _shape(document, variant, prefix, seen)
            for variant in schema.get(keyword, [])
            if variant.get("type") != "null"
        ]
        for variant in variants:
            shape.names |= variant.names
        if variants:
            # A property is required only if every variant requires it.
            shape.required |= set.intersection(*(variant.required for variant in variants))
    return shape


def _resolve(document: Document, node: Document) -> Document:
    """Return the target of a `$ref` inside the document, or the node itself."""
    while "$ref" in node:
        target: Any = document
        for step in node["$ref"].removeprefix("#/").split("/"):
            target = target[step.replace("~1", "/").replace("~0", "~")]
        node = target
    return node


if __name__ == "__main__":
    sys.exit(run(main))
