"""The report as one HTML file: no script, nothing loaded from elsewhere.

Jinja escapes everything: what a server answers is text here and never markup.
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
    score_line,
    sentences,
    status_word,
    suggestions_line,
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
        failing=[row for row in grade.rows if row.status == "fail"],
    )


def render_matrix(learners: Sequence[tuple[str, Grade]], language: str) -> str:
    """Return the page of many: a line a learner, a column a requirement."""
    first = learners[0][1]
    passed = Counter(row.id for _, grade in learners for row in grade.rows if row.status == "pass")
    return _page(
        "matrix.html",
        language,
        learners=learners,
        first=first,
        passed=passed,
        today=f"{datetime.now().astimezone():%Y-%m-%d}",
    )


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
    }
    return environment.get_template(template).render(**values)
