"""The checker of plain words finds what readers stumble over, and nothing else."""

import pytest

from course.catalog.command import run
from course.catalog.stages import ROOT
from tools.words.check import find_problems, main

LESSON = "stage03_jwt_auth/README.md"
LONG = "word " * 30 + "end."


def kinds(path: str, source: str) -> list[str]:
    """Return the findings of a file without their place."""
    return [finding.what for finding in find_problems(path, source)]


@pytest.mark.parametrize(
    "sentence",
    [
        "What fails comes with what was expected.",
        "Who is killed cannot say so.",
        "Whoever leaves is announced to everybody.",
        "Whatever ends is started again.",
        "That a row exists is a secret.",
        "It works. What is left to do answers 501.",
        "**What is changed past the ORM** is seen late.",
    ],
)
@pytest.mark.parametrize(
    "source", ["{}\n", "- {}\n", "> {}\n", "1. {}\n", "| 1 | {} |\n"], ids=lambda form: form.strip()
)
def test_a_sentence_that_begins_with_a_headless_word_is_found(source: str, sentence: str) -> None:
    assert kinds("docs/page.md", source.format(sentence)) == ["begins with a headless word"]


@pytest.mark.parametrize(
    "source",
    [
        '"""{}"""\n',
        "# {}\nx = 1\n",
        'def f() -> None:\n    """{}"""\n',
        'raise ValueError("{}")\n',
        'raise ValueError(f"{} {{x}}")\n',
    ],
)
def test_docstrings_comments_and_messages_are_read(source: str) -> None:
    text = "What fails comes last"
    assert kinds("tools/x.py", source.format(text)) == ["begins with a headless word"]


@pytest.mark.parametrize(
    "source",
    [
        "What does the worker do?\n",
        "## What you build\n",
        "```sh\nWhat is code is not read.\n```\n",
        "`What is code` is not read.\n",
        "That is why the row comes first.\n",
        "The client that asks first waits.\n",
        "There is no stage 17: choose another.\n",
        "It asks who is there.\n",
    ],
)
def test_questions_headings_and_code_may_begin_so(source: str) -> None:
    assert kinds("docs/page.md", source) == []


def test_headings_in_a_program_may_begin_so() -> None:
    source = 'SECTIONS = ["What you build"]\nsection = sections["What changed and why"]\n'
    assert kinds("tests/x.py", source) == []
    assert kinds("tests/x.py", 'raise ValueError(["What fails comes at the end."])\n') != []


def test_a_sentence_over_two_lines_is_one() -> None:
    source = "# The worker\n# What ends here.\n\n# One. What\n# fails is told.\n"
    (finding,) = find_problems("tools/x.py", source)
    assert (finding.line, finding.text) == (4, "What fails is told.")


@pytest.mark.parametrize(
    "name", ["test_who_signs_in_gets_a_token", "test_what_fails_is_told", "test_that_it_ends"]
)
def test_a_test_whose_name_begins_with_a_headless_word_is_found(name: str) -> None:
    found = kinds("tests/stage01/test_x.py", f"def {name}() -> None:\n    assert True\n")
    assert found == ["a name that begins with a headless word"]


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("Without an offset it is no moment.", "is not a …"),
        ("The doorbell rings.", "notification"),
        ("Return one's own images.", "your own, or its own"),
        ("A list thereof comes back.", "two short sentences"),
        ("The report says those who left.", "the person or the thing that acts"),
        ("It is not unusual.", "the word without the double negation"),
    ],
)
def test_a_word_of_our_own_is_found_with_a_plainer_one(text: str, instead: str) -> None:
    (found,) = kinds("docs/page.md", text)
    assert found.startswith(f"better: {instead}")


def test_a_long_sentence_is_found_in_a_lesson_only() -> None:
    assert kinds(LESSON, LONG) == ["31 words"]
    assert kinds(LESSON, LONG.replace("word ", "", 1)) == []
    assert kinds("docs/page.md", LONG) == []


def test_a_finding_names_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    (finding,) = find_problems("docs/page.md", "Fine.\n\nWhat fails is told.\n")
    assert str(finding) == "docs/page.md:3: begins with a headless word: What fails is told."
    assert run(main, ["tools/words/check.py"], ROOT) == 0
    assert capsys.readouterr().out == "Plain: 1 files\n"
