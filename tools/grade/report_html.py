"""The report as one HTML file, without scripts and without other files.

Jinja escapes everything, so answers of a server are text and never markup.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

import jinja2

from tools.grade.report_terminal import (
    because,
    change_line,
    facts,
    hints_of,
    score_line,
    sentences,
    status_word,
    suggestions_line,
    total_line,
)
from tools.grade.results import Grade, Score
from tools.grade.words import say


def render(grade: Grade) -> str:
    """Return the page of one grade."""
    lang = grade.language
    return _page(
        "report.html",
        lang,
        grade=grade,
        scores={number: Score.of(rows) for number, rows in grade.stages().items()},
    )


def render_matrix(learners: Sequence[tuple[str, Grade]], language: str) -> str:
    """Return the matrix: a line for each learner, a column for each requirement."""
    first = learners[0][1]
    passed = Counter(row.id for _, grade in learners for row in grade.rows if row.status == "pass")
    return _page(
        "matrix.html",
        language,
        learners=[(n, name, grade) for n, (name, grade) in enumerate(learners, 1)],
        first=first,
        passed=passed,
        today=f"{datetime.now().astimezone():%Y-%m-%d}",
    )


# Each symbol has a word that a screen reader reads instead.
_MARKS = {
    "pass": "✓", "fail": "✗", "to do": "○", "waiting": "…", "blocked": "…",
    "not checked": "–", "error": "!",
}  # fmt: skip


def _page(template: str, language: str, **values: Any) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tools.grade"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.globals |= {
        "language": language,
        "say": partial(say, language=language),
        "because": partial(because, language=language),
        "status_word": partial(status_word, language=language),
        "score_line": partial(score_line, language=language),
        "sentences": sentences,
        "suggestions_line": partial(suggestions_line, language=language),
        "total_line": partial(total_line, language=language),
        "change_line": partial(change_line, language=language),
        "facts": partial(facts, language=language),
        "hints_of": partial(hints_of, language=language),
        "marks": _MARKS,
    }
    return environment.get_template(template).render(**values)
