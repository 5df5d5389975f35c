"""Requirement 5.1: a text can be uploaded as a UTF-8 file of up to 5 MiB."""

from collections.abc import Iterator

import pytest

from course.harness.contract import variants
from course.harness.driver import Api
from course.harness.problems import field_errors
from course.harness.raw_http import chunk, send_raw
from tests.stage04.uploads import form, part
from tests.stage05.jobs import (
    FAR_AWAY,
    FIELDS,
    FILE_FIELD,
    LARGE,
    MAX_FILE_SIZE,
    analysed,
    listed,
    submit_file,
    succeeded,
    upload,
)

pytestmark = pytest.mark.craft

TEXT = "Съешь же ещё этих мягких французских булок, да выпей чаю.\n"
PIECE = b"words " * 10_000


@pytest.mark.requirement("5.1")
@pytest.mark.contract("J4", "J2")
def test_a_file_and_its_text_have_the_same_result(api: Api) -> None:
    answer = upload(api, TEXT.encode())
    assert answer.status_code == 202
    job = answer.json()
    assert set(job) == FIELDS
    assert succeeded(api, job["id"])["result"] == analysed(api, TEXT)


@pytest.mark.requirement("5.1")
def test_the_location_header_is_the_url_of_the_new_job(api: Api) -> None:
    answer = upload(api, TEXT.encode())
    assert answer.headers["location"] == f"/jobs/{answer.json()['id']}"


@pytest.mark.requirement("5.1")
def test_a_byte_order_mark_is_not_counted(api: Api) -> None:
    marked = submit_file(api, TEXT.encode("utf-8-sig"))
    assert succeeded(api, marked["id"])["result"] == analysed(api, TEXT)


@pytest.mark.requirement("5.1")
@pytest.mark.contract("J4")
def test_a_file_can_be_scheduled(api: Api) -> None:
    job = submit_file(api, TEXT.encode(), run_at=FAR_AWAY)
    assert job["status"] == "scheduled"
    assert api.request("DELETE", f"/jobs/{job['id']}").status_code == 200


@pytest.mark.requirement("5.1")
@pytest.mark.contract("E4", "J4")
@pytest.mark.parametrize(
    "run_at", variants(["2099-01-01T00:00:00", "tomorrow", "NaN"], craft=["NaN"])
)
def test_an_invalid_run_at_in_a_form_gets_422(api: Api, run_at: str) -> None:
    answer = upload(api, TEXT.encode(), run_at=run_at)
    assert answer.status_code == 422
    assert listed(api) == []


@pytest.mark.requirement("5.1")
@pytest.mark.contract("J4", "E5")
@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode("cp1251"),
        TEXT.encode("utf-16"),
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
        *(
            pytest.param(content, marks=pytest.mark.craft)
            for content in (
                "cut in the middle of a character: ж".encode()[:-1],
                b"half of a pair: \xed\xa0\x80",
                b"too long a form: \xc0\xaf",
            )
        ),
    ],
    ids=["cp1251", "UTF-16", "PNG", "cut", "surrogate", "overlong"],
)
def test_a_file_that_is_not_utf_8_text_gets_415(api: Api, content: bytes) -> None:
    answer = upload(api, content)
    assert answer.status_code == 415
    assert isinstance(answer.json()["detail"], str)
    assert listed(api) == []


@pytest.mark.requirement("5.1")
@pytest.mark.contract("J4", "E4")
@pytest.mark.parametrize(
    "content",
    variants(
        [b"", b" \r\n\t ", b"\xef\xbb\xbf", b"with a NUL: \0"],
        craft=[b" \r\n\t ", b"\xef\xbb\xbf", b"with a NUL: \0"],
    ),
    ids=["empty", "blank", "only a mark", "NUL"],
)
def test_a_file_without_content_to_analyse_gets_422(api: Api, content: bytes) -> None:
    answer = upload(api, content)
    assert answer.status_code == 422
    assert field_errors(answer)
    assert listed(api) == []


@pytest.mark.requirement("5.1")
@pytest.mark.contract("J4", "E4")
def test_a_form_without_a_file_gets_422(api: Api) -> None:
    for parts in ([], [part(b'form-data; name="file"', b"no file name", None)]):
        body, headers = form(*parts)
        answer = api.request("POST", "/jobs/file", content=body, headers=headers)
        assert answer.status_code == 422


@pytest.mark.requirement("5.1")
def test_json_instead_of_a_file_gets_422(api: Api) -> None:
    assert api.request("POST", "/jobs/file", json={"file": "text"}).status_code == 422


@pytest.mark.requirement("5.1")
@pytest.mark.contract("J4", "E22")
@pytest.mark.slow
def test_a_file_of_exactly_5_mib_is_analysed(api: Api) -> None:
    assert len(LARGE) == MAX_FILE_SIZE
    result = succeeded(api, submit_file(api, LARGE)["id"])["result"]
    assert result["characters"] == len(LARGE.decode())


@pytest.mark.requirement("5.1")
@pytest.mark.contract("J4", "E22")
def test_a_file_one_byte_over_the_limit_gets_413(api: Api) -> None:
    answer = upload(api, LARGE + b"x")
    assert answer.status_code == 413
    assert listed(api) == []


@pytest.mark.requirement("5.1")
def test_a_413_has_a_reason_in_json(api: Api) -> None:
    assert isinstance(upload(api, LARGE + b"x").json()["detail"], str)


@pytest.mark.requirement("5.1")
@pytest.mark.contract("J4", "E22")
@pytest.mark.parametrize("endless", variants([False, True], craft=[True]))
def test_a_chunked_upload_over_the_limit_gets_413(api: Api, endless: bool) -> None:
    mark = b"the file goes here"
    body, headers = form(part(FILE_FIELD, mark, "text/plain"))
    before, after = body.split(mark)

    def pieces() -> Iterator[bytes]:
        yield chunk(before)
        sent = 0
        while endless or sent <= MAX_FILE_SIZE:
            yield chunk(PIECE)
            sent += len(PIECE)
        yield chunk(after)
        yield chunk(b"")

    headers |= {"Authorization": f"Bearer {api.token}", "Transfer-Encoding": "chunked"}
    answer = send_raw(api.server, "POST", "/jobs/file", pieces(), headers=headers)
    assert answer.status == 413
    assert listed(api) == []
