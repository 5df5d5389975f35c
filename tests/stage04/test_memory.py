"""Rows 4.6 and 4.7: many uploads at once cost little memory, and nobody else waits for them.

Run with `-rP` (or look into the JUnit report) to see the figures.
"""

import sys
from collections.abc import Callable

import pytest
from PIL import PngImagePlugin

from tests.harness.driver import Api
from tests.harness.memory import MIB, memory_of
from tests.harness.plugin import Launch
from tests.harness.waiting import in_parallel
from tests.stage03.figures import measure_the_list
from tests.stage04.pictures import JPEG, jpeg, jpeg_of_size, png
from tests.stage04.uploads import MAX_FILE_SIZE, new_image, upload

pytestmark = pytest.mark.alone

AT_ONCE = 20
MEMORY_BOUND = 64 * MIB
P95_BOUND = 150.0  # milliseconds over idle
CAMERA = (4000, 3000)  # pixels: 12 million, a telephone's usual photo
LARGE = (6000, 6000)
LARGEST = (7000, 7000)

Record = Callable[[str, object], None]


@pytest.mark.skipif(sys.platform != "linux", reason="not checked: needs Linux's /proc")
def test_twenty_uploads_of_5_mib_at_once_take_less_than_64_mib(
    launch: Launch, record_property: Record
) -> None:
    photo = jpeg_of_size(jpeg(*CAMERA), MAX_FILE_SIZE)
    server = launch()
    with Api(server) as visitor:
        api = visitor.as_new_user()
        new_image(api)  # what is loaded only once is loaded now
        before = memory_of(server.pid)
        answers = in_parallel(AT_ONCE, lambda _: upload(api, photo, content_type=JPEG).status_code)
        peak = memory_of(server.pid)["VmHWM"]
    growth = peak - before["VmRSS"]
    figures = {
        "before_mib": round(before["VmRSS"] / MIB, 1),
        "peak_mib": round(peak / MIB, 1),
        "growth_mib": round(growth / MIB, 1),
    }
    for name, value in figures.items():
        record_property(f"uploads_{name}", value)
    print(f"{AT_ONCE} uploads of 5 MiB, {CAMERA[0]} x {CAMERA[1]} pixels, at once: {figures}")
    assert answers.results == [201] * AT_ONCE
    assert growth < MEMORY_BOUND, figures


@pytest.mark.skipif(sys.platform != "linux", reason="not checked: needs Linux's /proc")
def test_the_largest_picture_is_unpacked_once_at_a_time(
    launch: Launch, record_property: Record
) -> None:
    width, height = LARGEST
    text = PngImagePlugin.PngInfo()
    text.add_text("Raw profile type exif", "of what it says nothing is kept", zip=True)
    picture = png(width, height, pnginfo=text)
    server = launch()
    with Api(server) as visitor:
        api = visitor.as_new_user()
        new_image(api)
        before = memory_of(server.pid)["VmRSS"]
        assert upload(api, picture).status_code == 201
        growth = memory_of(server.pid)["VmHWM"] - before
    record_property("largest_picture_growth_mib", round(growth / MIB, 1))
    # Pillow keeps four bytes a pixel, and the file is small.
    assert growth < 1.5 * 4 * width * height, growth


@pytest.mark.slow
def test_the_list_is_fast_while_a_large_picture_is_looked_at(
    api: Api, record_property: Record
) -> None:
    picture, answers = png(*LARGE), list[int]()
    figures = measure_the_list(api, lambda: answers.append(upload(api, picture).status_code))
    figures.record("a_large_picture", record_property)
    assert answers == [201]
    assert figures.busy_p95 < figures.idle_p95 + P95_BOUND, figures
