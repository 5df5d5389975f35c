"""`AGENTS.md` of a starter: rules for a learner's coding agent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from course.catalog.parts import Runtime
from course.catalog.requirements import Requirement
from course.catalog.stages import Stage
from tools.grade.hints import load_hints

RULES = """# Rules for a coding agent in this directory

Somebody learns here. They write {step}, "{title}", of a course. You help them to
understand it.

1. **Do not open the finished stages.** They are in the course's directory ({places}). Do not
   search for their text elsewhere.
2. **One decision at a time.** Work on the row that the loop shows
   (`python3 noxfile.py learn {word}`; without a word it continues), and on no other.
3. **Explain before you write.** Say in two or three sentences what the code has to do and why. Let
   the learner write it first.
4. **A hint before a solution.** Ask the question of the row below. Then name the function or the
   page of documentation. Show code only when the learner asks for it, and only for that row.
5. **The grader decides.** A row is done when its tests pass, not when the code looks right. Read
   the failure with the learner: the request, the expected answer, the actual answer. Never change
   a test or the grader.
6. **Write as the stage does.** {style}
   Add no packages.

## The rows, and a question for each

| row | it asks for | the question |
|---|---|---|
"""


OTHERS: Mapping[Runtime, str] = {
    "python": " and the others",
    "node": " and the others, `tools/learn/node/`",
}
STYLES: Mapping[Runtime, str] = {
    "python": "The router parses and calls the service; the service holds every rule and query.",
    "node": "A handler reads its input, calls the table once, and answers. Use plain JavaScript.",
}


def agents_page(stage: Stage, rows: Sequence[Requirement], runtime: Runtime = "python") -> str:
    """Return the page for a starter with these rows."""
    hints = load_hints()
    is_whole = stage.chapter is None
    rules = RULES.format(
        step=f"stage {stage.step}" if is_whole else f"{stage.step} (a chapter)",
        word=stage.step,
        title=stage.title,
        places=f"`{stage.directory}`{OTHERS[runtime]}",
        style=STYLES[runtime],
    )
    lines = [f"| {row.id} | {row.text} | {hints.hint(row.id, 1, 'en')} |" for row in rows]
    return rules + "\n".join(lines) + "\n"
