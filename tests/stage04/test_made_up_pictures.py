"""Requirement 4.5: the app serves a damaged picture completely or refuses it (hypothesis)."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageOps

from course.harness.driver import Api
from course.harness.made_up import made_up
from tests.stage04.pictures import JPEG, PNG, exif, image, jpeg, opened, png, saved
from tests.stage04.uploads import upload

pytestmark = [pytest.mark.craft("I8"), pytest.mark.usefixtures("nothing_is_left")]

Edit = Callable[[bytes], bytes]

PICTURES = {
    "PNG": (png(), PNG),
    "PNG with a palette": (saved(image(mode="P"), "PNG"), PNG),
    "JPEG": (jpeg(), JPEG),
    "progressive JPEG": (jpeg(progressive=True), JPEG),
    "JPEG of a camera": (jpeg(exif=exif(orientation=6, location=True)), JPEG),
}
PLACES = st.floats(0, 1, exclude_max=True)  # as a fraction of the length
BYTES = st.binary(min_size=1, max_size=8)


def overwrite(place: float, new: bytes) -> Edit:
    """Return an edit that overwrites bytes."""

    def edit(data: bytes) -> bytes:
        at = int(place * len(data))
        return data[:at] + new + data[at + len(new) :]

    return edit


def insert(place: float, new: bytes) -> Edit:
    """Return an edit that inserts bytes."""
    return lambda data: data[: int(place * len(data))] + new + data[int(place * len(data)) :]


def cut(place: float, length: int) -> Edit:
    """Return an edit that removes bytes."""
    return lambda data: data[: int(place * len(data))] + data[int(place * len(data)) + length :]


EDITS = st.one_of(
    st.builds(overwrite, PLACES, BYTES),
    st.builds(insert, PLACES, BYTES),
    st.builds(cut, PLACES, st.integers(1, 2000)),
)


@pytest.mark.requirement("4.5")
@pytest.mark.own_stage
@pytest.mark.usefixtures("launched_server")
@made_up(examples=80)
@given(kind=st.sampled_from(list(PICTURES)), edits=st.lists(EDITS, min_size=1, max_size=3))
def test_a_damaged_picture_is_served_completely_or_refused(
    api: Api, kind: str, edits: list[Edit]
) -> None:
    content, declared = PICTURES[kind]
    for edit in edits:
        content = edit(content)
    answer = upload(api, content, content_type=declared)
    assert answer.status_code in (201, 415, 422), answer.text
    if answer.status_code != 201:
        assert answer.json()["detail"]
        return
    found = answer.json()
    shown = api.request("GET", found["url"])
    assert api.request("DELETE", f"/images/{found['id']}").status_code == 204
    assert shown.status_code == 200
    upright = ImageOps.exif_transpose(opened(shown.content))
    assert upright.size == (found["width"], found["height"])
