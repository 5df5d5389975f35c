"""Requirement 5.3: the report of a job in Markdown: totals, a table of words, a bar chart."""

import re

import pytest

from course.harness.driver import Api
from tests.stage05.jobs import FAR_AWAY, submit, submit_file, succeeded

pytestmark = pytest.mark.craft

TEXT = "Мир " * 20 + "peace " * 10 + "don't " * 5 + "war."
BAR = "█"


def report_of(api: Api, job_id: str) -> str:
    """Return the report of a succeeded job."""
    answer = api.request("GET", f"/jobs/{job_id}/report")
    assert answer.status_code == 200, answer.text[:500]
    assert answer.headers["content-type"].partition(";")[0].strip() == "text/markdown"
    return answer.content.decode()


@pytest.mark.requirement("5.3")
@pytest.mark.contract("J6")
def test_the_report_is_markdown_about_the_text(api: Api) -> None:
    job = succeeded(api, submit(api, TEXT)["id"])
    report = report_of(api, job["id"])
    assert str(job["result"]["words"]) in report


@pytest.mark.requirement("5.3")
def test_the_report_is_utf_8_and_declares_it(api: Api) -> None:
    job = succeeded(api, submit(api, TEXT)["id"])
    answer = api.request("GET", f"/jobs/{job['id']}/report")
    assert answer.headers["content-type"].replace(" ", "") == "text/markdown;charset=utf-8"


@pytest.mark.requirement("5.3")
def test_the_report_has_every_total(api: Api) -> None:
    job = succeeded(api, submit(api, TEXT * 50)["id"])
    numbers = re.findall(r"\d+", report_of(api, job["id"]))
    for name in ("characters", "words", "unique_words", "sentences", "lines"):
        assert str(job["result"][name]) in numbers, name


@pytest.mark.requirement("5.3")
def test_the_report_has_a_heading_and_a_table_of_top_words(api: Api) -> None:
    job = succeeded(api, submit(api, TEXT)["id"])
    lines = report_of(api, job["id"]).splitlines()
    assert lines[0].startswith("# ")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line]
    for top in job["result"]["top_words"]:
        assert any(row[:2] == [top["word"], str(top["count"])] for row in rows), top
    assert any(re.fullmatch(r"\|[\s:|-]+\|", line) for line in lines)


@pytest.mark.requirement("5.3")
def test_the_bars_of_the_report_are_proportional_to_the_counts(api: Api) -> None:
    job = succeeded(api, submit(api, TEXT)["id"])
    bars = [line for line in report_of(api, job["id"]).splitlines() if BAR in line]
    top_words = job["result"]["top_words"]
    assert [bar.split()[0] for bar in bars] == [top["word"] for top in top_words]
    lengths = [bar.count(BAR) for bar in bars]
    assert lengths == sorted(lengths, reverse=True)
    assert min(lengths) >= 1
    assert abs(lengths[0] - 2 * lengths[1]) <= 1  # 20 compared to 10
    assert len({bar.index(BAR) for bar in bars}) == 1  # all bars start in the same column


@pytest.mark.requirement("5.3")
def test_a_text_without_words_has_a_report(api: Api) -> None:
    job = succeeded(api, submit(api, "... !!! ???")["id"])
    report = report_of(api, job["id"])
    assert report.startswith("# ")
    assert BAR not in report


@pytest.mark.requirement("5.3")
def test_the_report_of_huge_words_is_no_larger_than_the_text(api: Api) -> None:
    text = " ".join("abcdefghi") + " " + "z" * 900_000
    job = succeeded(api, submit_file(api, text.encode())["id"])
    assert job["result"]["words"] == 10
    assert len(report_of(api, job["id"])) < 2 * len(text)


@pytest.mark.requirement("5.3")
@pytest.mark.contract("J6")
def test_the_report_of_an_unfinished_job_gets_409(api: Api) -> None:
    job = submit(api, run_at=FAR_AWAY)
    answer = api.request("GET", f"/jobs/{job['id']}/report")
    assert answer.status_code == 409
    assert isinstance(answer.json()["detail"], str)
    api.request("DELETE", f"/jobs/{job['id']}")


@pytest.mark.requirement("5.3")
def test_the_report_of_a_cancelled_job_gets_409(api: Api) -> None:
    job = submit(api, run_at=FAR_AWAY)
    api.request("DELETE", f"/jobs/{job['id']}")
    assert api.request("GET", f"/jobs/{job['id']}/report").status_code == 409
