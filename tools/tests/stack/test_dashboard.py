"""The picture of a dashboard: its panels, its lines, and the picture in the capstone's pages."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest

from course.catalog.stages import ROOT
from tools.stack.dashboard import DASHBOARDS, Panel, Series, draw, in_unit, read_series

BEGIN, END = 1000.0, 1100.0
PICTURE = ROOT / "capstone_production" / "docs" / "dashboard.svg"


def panel(kind: str, *series: Series) -> Panel:
    return Panel(
        title="Requests & errors",
        kind=kind,
        unit="reqps",
        x=8,
        y=8,
        width=472,
        height=208,
        series=series,
    )


def elements_of(svg: str) -> list[ET.Element]:
    return list(ET.fromstring(svg).iter())  # noqa: S314 - a picture of ours


def texts_of(svg: str) -> list[str]:
    return [element.text for element in elements_of(svg) if element.text]


def test_a_graph_has_a_line_for_each_series_and_its_name() -> None:
    lines = [Series("200", ((1000, 0), (1100, 4))), Series("404", ((1050, 2),))]
    svg = draw("Overview", [panel("timeseries", *lines)], begin=BEGIN, end=END)
    assert {"Requests & errors", "200", "404", "4 req/s", "00:16"} <= set(texts_of(svg))
    assert 'points="66.0,174.0 468.0,42.0"' in svg  # from the lower left to the upper right corner
    assert 'points="267.0,108.0"' in svg  # the middle


def test_a_stat_shows_its_last_value() -> None:
    shown = panel("stat", Series("", ((1000, 1), (1100, 2.5))))
    assert "2.5 req/s" in texts_of(draw("Overview", [shown], begin=BEGIN, end=END))
    assert "no data" in texts_of(draw("Overview", [panel("stat")], begin=BEGIN, end=END))


def test_a_series_has_the_name_of_its_label_and_only_numbers() -> None:
    found = [
        {"metric": {"status": "200"}, "values": [[1, "3"], [2, "NaN"], [3, "+Inf"]]},
        {"metric": {"status": "404"}, "values": [[1, "NaN"]]},
    ]
    assert read_series(found, "status {{status}}") == [Series("status 200", ((1.0, 3.0),))]


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [(0.25, "percentunit", "25 %"), (0.0971, "s", "97.1 ms"), (10, "s", "10 s"), (2, "short", "2")],
)
def test_a_value_has_its_unit(value: float, unit: str, shown: str) -> None:
    assert in_unit(value, unit) == shown


def test_the_picture_in_the_pages_has_every_panel_of_the_dashboard() -> None:
    overview = json.loads((DASHBOARDS / "overview.json").read_text(encoding="utf-8"))
    titles = [panel["title"] for panel in overview["panels"]]
    drawn = elements_of(PICTURE.read_text(encoding="utf-8"))
    assert [one.text for one in drawn if one.get("class") == "title"] == titles
