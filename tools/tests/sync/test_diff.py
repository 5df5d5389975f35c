"""The difference between two stages has right numbers, a patch that applies, and a page."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from pygments.styles import get_style_by_name
from pygments.token import Token

from course.catalog.command import CLOSED_PIPE
from course.catalog.stages import ROOT
from tools.sync.diff_page import CONTEXT_LINES, DARK, LIGHT
from tools.sync.lesson import feature_of
from tools.tests.conftest import FOUR, MAIN, ONE, THREE, TWO, Course

READABLE = 4.5  # WCAG 2.2, 1.4.3
NOT_IN_CODE = {Token.Error, Token.Text.Whitespace}


def summary_of(output: str) -> str:
    return output.partition("\ndiff --git ")[0]


def patch_of(output: str) -> str:
    return "".join(output.partition("diff --git ")[1:])


def files_of(directory: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(directory)): (path.read_bytes(), path.stat().st_mode)
        for path in directory.rglob("*")
        if path.is_file()
    }


@pytest.mark.requirement("D.7")
def test_the_summary_says_what_the_lesson_is(course: Course) -> None:
    course.replace(f"{TWO}/requirements.txt", "fastapi~=0.1", "fastapi[all]~=0.2")
    course.write(
        f"{TWO}/requirements.txt", course.read(f"{TWO}/requirements.txt") + "Py_Jwt  # x\n"
    )

    result = course.diff("1", "2")

    assert result.status == 0
    assert summary_of(result.out) == (
        "From stage 1: A list\n"
        "To stage 2: A store\n"
        "60 minutes\n"
        "Goal of stage 2: Keep it for good.\n"
        "\n"
        "lesson\n"
        "  changed  README.md                +2     -2\n"
        "requirements\n"
        "  changed  requirements.txt         +3     -1\n"
        "  packages added: sqlalchemy~=2.1, Py_Jwt\n"
        "  packages changed: fastapi~=0.1 → fastapi[all]~=0.2\n"
        "todos\n"
        "  added    app/todos/models.py      +1     -0\n"
        "3 files                             +6     -3\n"
        "\n"
        "The patch leaves out the texts of the lesson: --full shows them.\n"
    )


@pytest.mark.requirement("D.7")
def test_distant_stages_show_every_lesson_between(course: Course) -> None:
    result = course.diff("4", "1")

    assert "From stage 1: A list\nTo stage 4: All of it\n195 minutes\n" in result.out
    assert re.findall(r"Goal of stage (\d)", result.out) == ["2", "3", "4"]
    assert result.out == course.diff(ONE, "capstone").out


def test_removed_files_and_packages_are_named(course: Course) -> None:
    course.delete(f"{TWO}/app/todos/router.py")
    course.write(f"{TWO}/requirements.txt", "sqlalchemy~=2.1\n")

    out = course.diff("1", "2").out

    assert "  removed  app/todos/router.py      +0     -1\n" in out
    assert "  packages removed: fastapi~=0.1\n" in out


def test_comparing_a_stage_with_itself_is_a_clear_error(course: Course) -> None:
    result = course.diff("2", "stage02")

    assert (result.status, result.out) == (2, "")
    assert result.err == f"{TWO} is named twice: name two different stages\n"


def test_identical_stages_are_reported_as_identical(course: Course) -> None:
    shutil.rmtree(course.root / TWO)
    shutil.copytree(course.root / ONE, course.root / TWO)

    assert course.diff("1", "2").out.endswith("The two stages are identical.\n\n")


@pytest.mark.parametrize(
    ("path", "feature"),
    [
        ("README.md", "lesson"),
        ("lessons/3-chat.md", "lesson"),
        ("docs/stack.svg", "lesson"),
        ("app/todos/README.md", "todos"),
        ("requirements.txt", "requirements"),
        (".env.example", "settings"),
        ("app/main.py", "app"),
        ("app/auth/deep/er.py", "auth"),
        ("alembic.ini", "migrations"),
        ("migrations/versions/0001_x.py", "migrations"),
        ("prometheus/rules.yml", "prometheus"),
        ("Dockerfile", "project"),
    ],
)
def test_a_file_belongs_to_a_feature(path: str, feature: str) -> None:
    assert feature_of(path) == feature


def test_the_patch_is_in_reading_order(course: Course) -> None:
    names = [
        "requirements.txt", ".env.example", "app/config.py", "app/main.py", "app/database.py",
        "app/errors.py", "app/todos/models.py", "app/todos/schemas.py", "app/todos/service.py",
        "app/todos/router.py", "app/todos/tasks.py", "app/auth/router.py", "app/zoo/[x].py",
        "grafana/a.json", "compose.yml", "alembic.ini", "migrations/0001_x.py",
    ]  # fmt: skip
    for name in names:
        course.write(f"{FOUR}/{name}", "new text\n")

    out = course.diff("3", "4").out

    in_patch = re.findall(r"^diff --git \S+ capstone_all/(\S+)$", out, re.MULTILINE)
    in_patch.remove("Dockerfile")
    assert in_patch == names
    assert f"--- {THREE}/app/main.py\n+++ {FOUR}/app/main.py\n" in out


def test_the_readme_is_in_the_patch_when_asked_for(course: Course) -> None:
    assert "# A store" not in course.diff("1", "2").out

    out = course.diff("1", "2", "--full").out

    assert f"+++ {TWO}/README.md\n" in out
    assert "--full shows it" not in out


def make_every_kind_of_difference(course: Course) -> None:
    course.write(f"{ONE}/app/main.py", MAIN + "no newline")
    course.write(f"{TWO}/app/main.py", MAIN + "no newline\n", executable=True)
    course.write(f"{ONE}/app/crlf.txt", b"a\r\nb\r\n")
    course.write(f"{TWO}/app/crlf.txt", b"a\r\nc\r\n")
    course.write(f"{ONE}/gone.txt", "gone\n")
    course.write(f"{ONE}/folder/gone.txt", "gone\n")
    course.write(f"{TWO}/app/привет мир.py", "x\n")
    course.write(f"{TWO}/run.sh", "#!/bin/sh\n", executable=True)
    course.write(f"{TWO}/app/__init__.py", "")
    course.write(f"{TWO}/ignored.db", "rows")


@pytest.mark.requirement("D.7")
@pytest.mark.parametrize("command", [["git", "apply"], ["patch", "-p1", "--quiet"]])
def test_the_patch_turns_one_stage_into_the_other(
    course: Course, tmp_path: Path, command: list[str]
) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"no {command[0]} here")
    make_every_kind_of_difference(course)
    if command[0] == "git":
        course.write(f"{TWO}/logo.png", b"\x89PNG\0\1\2")
        course.write(f"{TWO}/app/new\nline.py", "x\n")
    shutil.copytree(course.root / ONE, tmp_path / "copy")

    done = subprocess.run(
        course.command("diff", "1", "2", "--full"), capture_output=True, check=True
    )
    subprocess.run(command, cwd=tmp_path / "copy", input=done.stdout, check=True)

    (course.root / TWO / "ignored.db").unlink()
    assert files_of(tmp_path / "copy") == files_of(course.root / TWO)


def test_the_numbers_are_those_of_the_patch(course: Course) -> None:
    make_every_kind_of_difference(course)

    out = course.diff("1", "2", "--full").out

    patch = patch_of(out)
    plus = len(re.findall(r"^\+(?!\+\+ )", patch, re.MULTILINE))
    minus = len(re.findall(r"^-(?!-- )", patch, re.MULTILINE))
    assert re.search(rf"^\d+ files +\+{plus} +-{minus}$", out, re.MULTILINE)


def test_a_change_of_the_mode_alone_is_shown(course: Course) -> None:
    (course.root / TWO / "app/main.py").chmod(0o755)

    assert re.search(r"changed  app/main.py +mode 100755\n", course.diff("1", "2").out)


def test_ignored_files_never_appear(course: Course) -> None:
    course.write(f"{TWO}/.env", "SECRET=hush\n")

    assert "hush" not in course.diff("1", "2", "--full").out


def test_a_persons_own_diff_settings_change_nothing(course: Course) -> None:
    before = course.diff("1", "2").out
    for setting in (
        "diff.noprefix=true",
        "diff.external=false",
        "color.ui=always",
        "diff.context=0",
    ):
        course.git("config", *setting.split("="))

    assert course.diff("1", "2").out == before


@pytest.mark.parametrize(
    ("options", "no_color", "colored"),
    [([], "", True), (["--no-color"], "", False), ([], "1", False)],
)
def test_a_terminal_gets_colour_by_default(
    course: Course,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    no_color: str,
    colored: bool,
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", no_color)

    assert ("\x1b[" in course.diff("1", "2", *options).out) is colored


def test_a_pipe_gets_no_colour(course: Course) -> None:
    assert "\x1b[" not in course.diff("1", "2").out


@pytest.mark.parametrize("lines", [1, 100_000])
def test_a_pipe_that_is_closed_early_is_no_error(course: Course, lines: int) -> None:
    course.write(f"{TWO}/app/long.py", "a line of text\n" * lines)

    process = subprocess.Popen(
        course.command("diff", "1", "2"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()

    assert (process.wait(), errors) == (CLOSED_PIPE, b"")


class Page(HTMLParser):
    """Parses a page strictly: every element must be closed in order; links are stored."""

    VOID = ("meta", "col", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.rows: list[tuple[str, list[str]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append((dict(attrs).get("class") or "", []))
        if tag == "td":
            self.rows[-1][1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if "td" in self.open:
            self.rows[-1][1][-1] += data

    def values(self, name: str) -> list[str]:
        return [value for attribute, value in self.attributes if attribute == name]


def page_of(course: Course, first: str, last: str, *options: str) -> tuple[str, Page]:
    target = course.root / "page.db"
    result = course.diff(first, last, "--html", str(target), *options)
    assert (result.status, result.out) == (0, f"Wrote {target}\n")
    text = target.read_text(encoding="utf-8")
    return text, Page(text)


def test_the_page_needs_nothing_else(course: Course) -> None:
    course.write(f"{TWO}/app/link.py", 'home = "https://example.org/?src=x"\n')

    text, page = page_of(course, "1", "2")

    assert set(page.tags) & {"script", "link", "img", "iframe", "base", "object"} == set()
    assert page.values("src") == []
    assert all(value.startswith("#") for value in page.values("href"))
    assert "url(" not in text
    assert "@import" not in text


def test_the_page_has_a_title_and_a_table_of_contents(course: Course) -> None:
    text, page = page_of(course, "1", "2")

    assert "<title>From stage 1 to stage 2: A store</title>" in text
    assert text.count("<h1>") == 1
    assert "Goal of stage 2: Keep it for good." in page.text
    assert "README.md (its text is left out; --full shows it)" in page.text
    assert "packages added: sqlalchemy~=2.1" in page.text
    assert {value.removeprefix("#") for value in page.values("href")} == {"file1", "file2"}
    assert {"file1", "file2"} <= set(page.values("id"))
    assert "prefers-color-scheme: dark" in text
    assert ("name", "viewport") in page.attributes


def test_code_in_the_page_is_escaped(course: Course) -> None:
    course.write(f"{TWO}/app/evil.py", "<script>alert('&amp;')</script>\n")
    course.write(f"{TWO}/app/<b>.py", "x\n")
    course.replace("stages.toml", '"A store"', '"A <i>store</i>"')
    course.replace(f"{TWO}/app/main.py", "line 5", "line <script> 5")

    text, page = page_of(course, "1", "2")

    assert not {"script", "b", "i"} & set(page.tags)
    assert "<script>alert('&amp;')</script>" in page.text
    assert "&lt;script&gt;alert" in text


def test_the_page_shows_three_lines_around_a_change_and_the_words_that_changed(
    course: Course,
) -> None:
    course.write(f"{ONE}/app/main.py", "".join(f"value {n} of many\n" for n in range(1, 101)))
    course.write(
        f"{TWO}/app/main.py", course.read(f"{ONE}/app/main.py").replace("e 50 of", "e L of")
    )

    text, page = page_of(course, "1", "2")

    rows = [
        (kind, cells) for kind, cells in page.rows if kind in {"same", "both", "old", "new", "gap"}
    ]
    main = rows[[kind for kind, _ in rows].index("gap") :]
    assert CONTEXT_LINES == 3
    assert [kind for kind, _ in main] == ["gap", *["same"] * 3, "both", *["same"] * 3, "gap"]
    assert main[0][1] == ["… 46 unchanged lines …"]
    assert main[1][1] == ["47", "value 47 of many", "47", "value 47 of many"]
    assert main[4][1] == ["50−", "value 50 of many", "50+", "value L of many"]
    assert main[8][1] == ["… 47 unchanged lines …"]
    assert 'value <del><span class="mi">50</span></del> of many' in text
    assert "value <ins>L</ins> of many" in text


def test_the_page_colours_code_by_what_it_is(course: Course) -> None:
    course.write(f"{TWO}/app/new.py", "def read():\n    return 'a'  # why\n")
    course.write(f"{TWO}/app/new.unknown", "def read():\n")

    text, page = page_of(course, "1", "2")

    assert '<span class="k">def</span> <span class="nf">read</span>' in text
    assert '<span class="c1"># why</span>' in text
    assert text.count('<span class="k">def</span>') == 1
    assert ["1", "def read():"] in [cells for _, cells in page.rows]


def test_the_page_shows_a_mark_that_the_lexer_drops(course: Course) -> None:
    course.write(f"{TWO}/app/new.py", "\ufeffimport os\n")

    assert ["1", "\ufeffimport os"] in [cells for _, cells in page_of(course, "1", "2")[1].rows]


def luminance(colour: str) -> float:
    """Return the relative luminance of `rrggbb` (WCAG 2.2)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize(("style", "theme"), [(LIGHT, 0), (DARK, 1)])
def test_coloured_code_can_be_read_on_every_background(style: str, theme: int) -> None:
    css = (ROOT / "tools" / "sync" / "templates" / "step.css").read_text(encoding="utf-8")
    grounds = [re.findall(rf"--{name}: #(\w+)", css)[theme] for name in ("paper", "old", "new")]
    assert (
        ".two del span, .two ins span { color: inherit; }" in css
    )  # these tokens have the page's colour
    colours = {
        definition["color"]
        for token, definition in get_style_by_name(style)
        if definition["color"] and token not in NOT_IN_CODE and token not in Token.Generic
    }
    assert len(colours) > 4
    for ground in (
        ground if len(ground) == 6 else "".join(c * 2 for c in ground) for ground in grounds
    ):
        for colour in colours:
            low, high = sorted((luminance(colour), luminance(ground)))
            assert (high + 0.05) / (low + 0.05) >= READABLE, (colour, ground)


def test_the_page_shows_an_added_file_in_full(course: Course) -> None:
    course.write(f"{TWO}/app/new.py", "".join(f"row {n}\n" for n in range(1, 101)))

    _, page = page_of(course, "1", "2")

    assert [cells for _, cells in page.rows if cells[1:] == ["row 57"]] == [["57", "row 57"]]
    assert (
        sum(1 for _, cells in page.rows if len(cells) == 2 and cells[1].startswith("row ")) == 100
    )


def test_similar_lines_stand_side_by_side(course: Course) -> None:
    course.write(f"{ONE}/app/main.py", "def read(todo_id: int) -> Todo:\n    pass\n")
    course.write(
        f"{TWO}/app/main.py",
        "import os\n\ndef read(session: Session, todo_id: int) -> Todo:\n    return 1\n",
    )

    _, page = page_of(course, "1", "2")

    cells = next(cells for kind, cells in page.rows if kind == "both")
    assert cells == [
        "1−", "def read(todo_id: int) -> Todo:",
        "3+", "def read(session: Session, todo_id: int) -> Todo:",
    ]  # fmt: skip


def test_the_page_of_a_large_rewrite_is_still_made(course: Course) -> None:
    course.write(f"{ONE}/app/main.py", "".join(f"old {n}\n" for n in range(200)))
    course.write(f"{TWO}/app/main.py", "".join(f"new {n} x\n" for n in range(150)))

    _, page = page_of(course, "1", "2")

    assert sum(1 for kind, _ in page.rows if kind in {"both", "old"}) >= 200


def test_the_page_shows_invisible_characters(course: Course) -> None:
    course.write(f"{ONE}/app/main.py", b"a\nlast")
    course.write(f"{TWO}/app/main.py", b"a\r\nlast\n")
    course.write(f"{TWO}/logo.png", b"\x89PNG\0")
    (course.root / TWO / "app/todos/router.py").chmod(0o755)

    _, page = page_of(course, "1", "2", "--full")

    assert "a␍" in page.text
    assert "last ⟨no newline at the end⟩" in page.text
    assert "A binary file." in page.text
    assert "changed, mode 100755" in page.text


def test_a_page_that_cannot_be_written_is_a_clear_error(course: Course) -> None:
    result = course.diff("1", "2", "--html", str(course.root / "no/such/place.html"))

    assert result.status == 2
    assert result.err.endswith("place.html: No such file or directory\n")
