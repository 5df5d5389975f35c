"""The picture of the benchmarks shows the stored results, in words too, on any screen."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

import pytest

from course.catalog.stages import ROOT
from course.harness.browser.visit import Visit

pytest_plugins = ["course.harness.browser.plugin"]

PICTURE = ROOT / "benchmarks" / "results.svg"
RESULTS = ROOT / "benchmarks" / "results.json"
SVG = "{http://www.w3.org/2000/svg}"
PHONE = 390  # pixels
# Returns each text with its size, and whether it is wholly inside of the picture.
TEXTS = """svg => [...svg.querySelectorAll("text")].map((text) => {
  const { left, right } = text.getBoundingClientRect();
  return [text.textContent, parseFloat(getComputedStyle(text).fontSize), left >= 0, right];
})"""
# Returns the contrast of each text and bar to the page behind it (WCAG 2.2).
CONTRASTS = """svg => {
  const luminance = (colour) => colour.match(/\\d+/g).slice(0, 3).map((value) => value / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
  const fill = (element) => luminance(getComputedStyle(element).fill);
  const page = fill(svg.querySelector(".page"));
  return [...svg.querySelectorAll("text, rect:not(.page)")].map((element) => {
    const [low, high] = [fill(element), page].sort((a, b) => a - b);
    return [element.tagName, (high + 0.05) / (low + 0.05)];
  });
}"""


def results() -> list[dict[str, Any]]:
    """Return the stored results."""
    stored: list[dict[str, Any]] = json.loads(RESULTS.read_text(encoding="utf-8"))["results"]
    return stored


@pytest.fixture
def svg() -> ElementTree.Element:
    """Return the picture, parsed."""
    return ElementTree.fromstring(PICTURE.read_text(encoding="utf-8"))  # noqa: S314 - our own file


def test_the_picture_shows_the_stored_results(tmp_path: Path) -> None:
    package = tmp_path / "benchmarks"
    package.mkdir()
    for name in ("__init__.py", "plot.py", "results.json"):
        (package / name).write_bytes((ROOT / "benchmarks" / name).read_bytes())
    subprocess.run([sys.executable, "-m", "benchmarks.plot"], cwd=tmp_path, check=True)
    assert (package / "results.svg").read_bytes() == PICTURE.read_bytes()


def test_each_result_is_named_and_has_a_tick_only_with_a_target(svg: ElementTree.Element) -> None:
    texts = [text.text for text in svg.iter(f"{SVG}text")]
    description = svg.findtext(f"{SVG}desc", "")
    for result in results():
        assert result["name"] in texts
        assert f"{result['name']}: {result['ratio']:.2f}" in description
    kinds = [element.get("class") for element in svg.iter()]
    targets = sum(result["wanted"] is not None for result in results())
    assert 0 < targets < len(results())
    assert kinds.count("target") == targets + 1  # and the one in the legend
    assert kinds.count("free") == len(results()) - targets + 1
    missed = [each for each in results() if each["wanted"] and each["ratio"] < each["wanted"]]
    assert kinds.count("missed") == len(missed) + 1
    assert sum(text.endswith("✗") for text in texts if text) == len(missed) + 1


def test_the_picture_has_a_title_and_a_legend(svg: ElementTree.Element) -> None:
    texts = [text.text for text in svg.iter(f"{SVG}text")]
    title = svg.findtext(f"{SVG}title", "")
    assert title == texts[0] != ""
    assert svg.get("role") == "img"
    assert svg.get("aria-labelledby") == "title description"
    for words in ("target reached", "missed ✗", "no target", "target"):
        assert words in texts


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_picture_can_be_read_on_a_phone(visit: Visit, scheme: Literal["light", "dark"]) -> None:
    page = visit(PICTURE.as_uri(), width=PHONE, color_scheme=scheme)
    picture = page.locator("svg")
    texts = picture.evaluate(TEXTS)
    assert len(texts) > len(results())
    for words, size, starts_inside, right in texts:
        assert size >= 14, words
        assert starts_inside, words
        assert right <= PHONE, words
    for name, contrast in picture.evaluate(CONTRASTS):
        assert contrast >= (4.5 if name == "text" else 3), (name, contrast)
