"""The report as JUnit XML for CI systems: stages are suites, requirements are cases."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from tools.grade.outcomes import Outcome
from tools.grade.report_terminal import because, facts, hints_of, status_word
from tools.grade.results import Grade, Row
from tools.grade.words import say

# Characters that XML 1.0 cannot hold, although a server may send them.
_IMPOSSIBLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(grade: Grade) -> str:
    """Return the file's text."""
    root = ET.Element("testsuites", name=f"stage {grade.stage}", time=f"{grade.seconds:.1f}")
    for number, rows in grade.stages().items():
        counts = {status: sum(row.status == status for row in rows) for status in ("fail", "error")}
        skipped = sum(row.status in ("blocked", "not_checked") for row in rows)
        suite = ET.SubElement(
            root,
            "testsuite",
            name=f"stage {number}",
            tests=str(len(rows)),
            failures=str(counts["fail"]),
            errors=str(counts["error"]),
            skipped=str(skipped),
        )
        for row in rows:
            _add_case(suite, row, grade.language)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _add_case(suite: ET.Element, row: Row, language: str) -> None:
    case = ET.SubElement(
        suite, "testcase", classname=f"stage{row.stage}", name=_clean(f"{row.id} {row.text}")
    )
    why = _clean(because(row, language))
    if row.status == "fail":
        first = hints_of(row, language)[:1]
        said = f"{first[0][0]}: {first[0][1]}" if first else why
        failure = ET.SubElement(case, "failure", message=_clean(said))
        failure.text = _clean("\n\n".join(_details(one, language) for one in row.failures))
    elif row.status == "error":
        ET.SubElement(case, "error", message=why)
    elif row.status in ("blocked", "not_checked"):
        word = _clean(status_word(row, language))
        ET.SubElement(case, "skipped", message=f"{word}: {why}" if why else word)
    if row.suggestions:
        advice = [
            f"{say('suggestion', language)}: {f.sentence}\n{f.expected}\n{f.got}"
            for f in row.suggestions
        ]
        ET.SubElement(case, "system-out").text = _clean("\n\n".join(advice))


def _details(failure: Outcome, language: str) -> str:
    lines = [failure.sentence, *(f"{title}: {text}" for title, text in facts(failure, language))]
    return "\n".join(line for line in (*lines, failure.curl, failure.frames) if line)


def _clean(text: str) -> str:
    return _IMPOSSIBLE.sub("\N{REPLACEMENT CHARACTER}", text)
