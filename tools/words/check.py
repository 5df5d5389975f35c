"""Finds sentences and names that readers have to read twice.

    python -m tools.words.check                 every file of the repository
    python -m tools.words.check README.md app   these files and folders only

There are three kinds of findings. A sentence, or the name of a test, begins with a headless who,
what, that or whoever, so the reader learns late who acts. A word or phrase is in `words.toml`,
which names a plainer one. A sentence in a lesson has more than 30 words. Questions and headings may
begin with who and what. Code and commands are not checked.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from course.catalog.command import run
from course.catalog.stages import ROOT
from course.catalog.trees import listed

LONGEST = 30  # words of a sentence in a lesson
TURNS = [
    (re.compile(row["pattern"]), row["instead"])
    for row in tomllib.loads(Path(__file__).with_name("words.toml").read_text("utf-8"))["turn"]
]
# Texts of other authors, generated pages, and tests that quote bad sentences.
LEFT_OUT = (
    "tools/tests/grade/solutions/",
    "tools/tests/words/",
    "tools/words/words.toml",
    "benchmarks/results",
    "docs/wrong-servers.",
    "docs/kill-matrix.md",
)
SUFFIXES = {".py", ".md", ".toml", ".yml", ".yaml", ".js", ".css", ".html", ".conf", ".example"}
COMMENT = {".js": "//", ".css": "*", ".html": "<!--"}

_HEADLESS = re.compile(
    r"(Who|Whom|Whose|Whoever|Whatever|Whichever|What)\b"
    r"|That (it|they|he|she|a|an|the|this|these|there|no|not|nobody|somebody|everybody|each|every"
    r"|one|we|you|its|their)\b"
)
_HEADLESS_TEST = re.compile(r"test_(who|whom|whose|whoever|what|whatever|whichever|that)_")
_ENDS = re.compile(r"(?<=[.!?])[\"'”)*_]*\s+(?=[\"'“(*_]*[A-Z0-9«`\[])|\s+·\s+")
_CODE = re.compile(r"``[^`]+``|`[^`]*`|<code>.*?</code>")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")


@dataclass(frozen=True)
class Text:
    """A paragraph, a comment, a docstring or a message, and the line where it begins."""

    line: int
    words: str


@dataclass(frozen=True)
class Finding:
    """A sentence or name to rewrite."""

    path: str
    line: int
    what: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}: {self.text}"


def find_problems(path: str, source: str) -> list[Finding]:
    """Return the findings in one file; `path` tells the kind of file."""
    is_lesson = re.fullmatch(r"(stage\w+|capstone_production)/(README|lessons/.*)\.md", path)
    found = []
    for text in texts_of(path, source):
        for sentence in sentences_of(text.words):
            shown = sentence if len(sentence) < 90 else f"{sentence[:87]}…"
            if _HEADLESS.match(sentence.lstrip("\"'“(*_ ")) and not sentence.rstrip(
                "\"'”)*_ "
            ).endswith(("?", ":")):
                found.append(Finding(path, text.line, "begins with a headless word", shown))
            for pattern, instead in TURNS:
                if pattern.search(sentence.lower()):
                    found.append(Finding(path, text.line, f"better: {instead}", shown))
            if is_lesson and (length := len(_words(sentence))) > LONGEST:
                found.append(Finding(path, text.line, f"{length} words", shown))
    if path.endswith(".py"):
        found += _names(path, source)
    return sorted(found, key=lambda finding: finding.line)


def _words(sentence: str) -> list[str]:
    return re.findall(r"[\w'’./…-]*\w[\w'’./…-]*", sentence)


def _names(path: str, source: str) -> Iterator[Finding]:
    for number, line in enumerate(source.splitlines(), 1):
        name = re.match(r"\s*(?:async )?def (\w+)", line)
        if name is None:
            continue
        if _HEADLESS_TEST.match(name[1]):
            yield Finding(path, number, "a name that begins with a headless word", name[1])
        if name[1].startswith("test_"):
            for pattern, instead in TURNS:
                if pattern.search(name[1]):
                    yield Finding(path, number, f"better: {instead}", name[1])


def sentences_of(text: str) -> list[str]:
    """Return the sentences of a text; code counts as a single word."""
    plain = _LINK.sub(r"\1", _CODE.sub("Code", text))
    return [one.strip() for one in _ENDS.split(plain) if one and one.strip()]


def texts_of(path: str, source: str) -> Iterator[Text]:
    """Return the texts for readers in a file: prose, comments, docstrings and messages."""
    suffix = Path(path).suffix
    if suffix == ".py":
        yield from _texts_of_python(source)
    elif suffix == ".md":
        yield from _texts_of_markdown(source)
    elif suffix == ".toml":
        yield from _comments(source, "#")
        for number, line in enumerate(source.splitlines(), 1):
            if string := re.match(r'\s*[\w-]+ = "((?:[^"\\]|\\.)*\s(?:[^"\\]|\\.)*)"', line):
                yield Text(number, string[1])
    else:
        yield from _comments(source, COMMENT.get(suffix, "#"))


def _texts_of_python(source: str) -> Iterator[Text]:
    try:
        tree = ast.parse(source)
        comments = [
            token
            for token in tokenize.generate_tokens(io.StringIO(source).readline)
            if token.type == tokenize.COMMENT
        ]
    except (SyntaxError, tokenize.TokenError):
        return  # a file with an intended syntax error
    yield from _joined((token.start[0], token.string[1:].strip()) for token in comments)
    no_messages = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node)
            if docstring and isinstance(node.body[0], ast.Expr):
                no_messages.add(id(node.body[0].value))
                for paragraph in _paragraphs(docstring):
                    yield Text(node.body[0].lineno, paragraph)
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [
                str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values
            ]
            no_messages |= {id(part) for part in node.values}
            yield from _message(node.lineno, "".join(parts))
        elif isinstance(node, ast.List):  # a list of headings, such as "What you build"
            no_messages |= {id(item) for item in node.elts if _is_heading(item)}
        elif isinstance(node, ast.Subscript) and _is_heading(node.slice):
            no_messages.add(id(node.slice))
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in no_messages
        ):
            yield from _message(node.lineno, node.value)


def _is_heading(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and len(node.value.split()) <= 4
        and node.value[-1:].isalnum()
    )


def _message(line: int, text: str) -> Iterator[Text]:
    """Return the text if it is a message: several words, and no code."""
    if re.search(r"[a-z]{2,} [a-z]{2,}", text) and not re.search(r"[{}<>;=]|\n\n", text):
        yield Text(line, " ".join(text.split()))


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", text):
        if not paragraph.startswith("    "):  # an indented paragraph is code
            yield " ".join(paragraph.split())


def _texts_of_markdown(source: str) -> Iterator[Text]:
    gathered: list[str] = []
    began = 1
    fenced = False
    for number, line in enumerate([*source.splitlines(), ""], 1):
        stripped = line.strip()
        starts_anew = re.match(r"(#|\||[-*] |\d+\. |>)", stripped)
        if stripped.startswith("```"):
            fenced = not fenced
        if fenced or not stripped or starts_anew or stripped.startswith("```"):
            if gathered:
                yield Text(began, " ".join(gathered))
            gathered = []
        if fenced or not stripped or stripped.startswith(("```", "#")):
            continue
        if stripped.startswith("|"):
            for cell in stripped.strip("|").split("|"):
                if re.search(r"[.!]\s*$", cell):  # a sentence, not a name
                    yield Text(number, cell.strip())
            continue
        if not gathered:
            began = number
        gathered.append(re.sub(r"^([-*]|\d+\.|>)\s+", "", stripped))


def _comments(source: str, mark: str) -> Iterator[Text]:
    lines = enumerate(source.splitlines(), 1)
    yield from _joined(
        (number, line.strip().removeprefix(mark).removeprefix("*").removesuffix("-->").strip())
        for number, line in lines
        if line.strip().startswith(mark)
    )


def _joined(lines: Iterable[tuple[int, str]]) -> Iterator[Text]:
    """Return the comments; consecutive lines form one comment."""
    gathered: list[str] = []
    began = last = 0
    for number, line in lines:
        if gathered and number != last + 1:
            yield Text(began, " ".join(gathered))
            gathered = []
        if not gathered:
            began = number
        gathered.append(line)
        last = number
    if gathered:
        yield Text(began, " ".join(gathered))


def main(wanted: Sequence[str], root: Path = ROOT) -> int:
    """Print every finding and return 1, or print how many files are plain and return 0."""
    files = sorted({path for one in wanted or ["."] for path in listed(root, one)})
    chosen = [
        path for path in files if Path(path).suffix in SUFFIXES and not path.startswith(LEFT_OUT)
    ]
    seen: set[str] = set()  # copies in later stages are not reported again
    count = 0
    for path in chosen:
        source = (root / path).read_text(encoding="utf-8")
        if source in seen:
            continue
        seen.add(source)
        for finding in find_problems(path, source):
            print(finding)
            count += 1
    print(f"{count} findings in {len(chosen)} files" if count else f"Plain: {len(chosen)} files")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(run(main))
