"""Requirements 4.6 and 4.7: many concurrent uploads need little memory and delay no other user.

Run with `-rP` (or open the JUnit report) to see the figures.
"""

import sys
import threading
import time
from collections.abc import Callable

import pytest
from PIL import Image

from course.harness.driver import Api
from course.harness.memory import MIB, memory_of
from course.harness.plugin import Launch
from course.harness.waiting import in_parallel
from tests.stage03.figures import measure_the_list
from tests.stage04.pictures import (
    JPEG,
    PNG,
    RGBA,
    chunk,
    jpeg,
    jpeg_of_size,
    png,
    png_of,
    progressive_of_zeros,
    saved,
    segment,
    with_chunk,
    with_segment,
)
from tests.stage04.uploads import MAX_FILE_SIZE, new_image, upload

pytestmark = [pytest.mark.craft, pytest.mark.own_stage]

AT_ONCE = 20
# 20 MiB for the first MiB of each file, 34 MiB for one decoded picture, and 10 MiB for its profile,
# which is held twice. All twenty files together would take 100 MiB even before decoding.
MEMORY_BOUND = 80 * MIB
P95_BOUND = 150.0  # milliseconds more than idle
CAMERA = (4000, 3000)  # pixels: 12 million, a typical photo of a phone
LARGE = (6000, 6000)
LARGEST = (7000, 7000)
MOST_IN_SCANS = (6300, 6300)  # 40 million coefficients of 2 bytes
MOST_IN_COLOUR = (3600, 3600)  # the same number in three colours
CROWD = 40  # concurrent slow pictures of one user
SLOW = (3200, 3200)  # each takes a twentieth of a second on an idle machine
PICTURES_BOUND = 150_000_000  # bytes
UPLOADS = 4  # at once
WAIT_BOUND = 1.0  # seconds

Record = Callable[[str, object], None]


@pytest.mark.requirement("4.6", "4.7")
@pytest.mark.skipif(sys.platform != "linux", reason="not checked: needs Linux's /proc")
def test_twenty_concurrent_uploads_of_5_mib_take_less_than_80_mib(
    launch: Launch, record_property: Record
) -> None:
    photo = jpeg_of_size(jpeg(*CAMERA), MAX_FILE_SIZE)
    server = launch()
    with Api(server) as visitor:
        api = visitor.as_new_user()
        new_image(api)  # libraries that load on first use are loaded now
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


WITH_MORE = segment(0xFE, b"which makes the server write the file again")
# Functions, because making all these pictures takes seconds.
GREEDY: dict[str, Callable[[], bytes]] = {
    "a PNG with a text": lambda: with_chunk(png(*LARGEST), chunk(b"tEXt", b"Comment\0goes")),
    "an interlaced PNG": lambda: png_of(8, RGBA, size=LARGEST, interlaced=True),
    "a PNG of 16 bits": lambda: png_of(16, RGBA, size=LARGEST),
    "a CMYK JPEG": lambda: with_segment(saved(Image.new("CMYK", LARGEST), "JPEG"), WITH_MORE),
    "a progressive JPEG": lambda: with_segment(progressive_of_zeros(*MOST_IN_SCANS, 10), WITH_MORE),
    "a progressive JPEG with a profile": lambda: jpeg_of_size(
        progressive_of_zeros(*MOST_IN_SCANS, 10), MAX_FILE_SIZE
    ),
    "a progressive JPEG in colour": lambda: jpeg(*MOST_IN_COLOUR, progressive=True, subsampling=0),
}


@pytest.mark.requirement("4.6")
@pytest.mark.skipif(sys.platform != "linux", reason="not checked: needs Linux's /proc")
@pytest.mark.parametrize("name", GREEDY)
def test_no_accepted_picture_needs_more_than_150_mb(
    launch: Launch, record_property: Record, name: str
) -> None:
    """The bound also holds for pictures of several users at the same time."""
    # A new server: memory that an earlier picture has freed would hide a part of the growth.
    server, picture = launch(), GREEDY[name]()
    content_type = PNG if name.startswith(("a PNG", "an interlaced PNG")) else JPEG
    with Api(server) as visitor:
        people = [visitor.as_new_user() for _ in range(UPLOADS)]
        new_image(people[0])
        new_image(people[0], jpeg(), JPEG)  # libraries that load on first use are loaded now
        before = memory_of(server.pid)["VmRSS"]
        answers = in_parallel(
            UPLOADS, lambda n: upload(people[n], picture, content_type=content_type).status_code
        )
    growth = memory_of(server.pid)["VmHWM"] - before
    record_property("growth_mib", round(growth / MIB, 1))
    print(f"{UPLOADS} times {name}, {len(picture)} bytes, at once: {growth / MIB:.1f} MiB more")
    assert answers.results == [201] * UPLOADS
    assert growth < PICTURES_BOUND, growth


@pytest.mark.requirement("4.7")
@pytest.mark.craft("I11")
@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.users
def test_an_upload_waits_less_than_a_second_for_other_users(
    api: Api, record_property: Record
) -> None:
    slow, somebody = progressive_of_zeros(*SLOW, 10), api.as_new_user()
    statuses = list[int]()

    def upload_slow(_: int) -> None:
        statuses.append(upload(api, slow, content_type=JPEG).status_code)

    crowd = threading.Thread(target=in_parallel, args=(CROWD, upload_slow))
    began = time.monotonic()
    crowd.start()
    waits = list[float]()
    while crowd.is_alive():
        asked = time.monotonic()
        new_image(somebody)
        waits.append(time.monotonic() - asked)
    took = time.monotonic() - began
    record_property("worst_wait_s", round(max(waits), 2))
    print(f"{len(waits)} small pictures beside {CROWD} slow ones: {max(waits):.2f} s of {took:.1f}")
    assert statuses == [201] * CROWD
    assert max(waits) < WAIT_BOUND, waits


@pytest.mark.requirement("4.7")
@pytest.mark.slow
@pytest.mark.alone
def test_the_list_stays_fast_while_a_large_picture_is_processed(
    api: Api, record_property: Record
) -> None:
    picture, answers = png(*LARGE), list[int]()
    figures = measure_the_list(api, lambda: answers.append(upload(api, picture).status_code))
    figures.record("a_large_picture", record_property)
    assert answers == [201]
    assert figures.busy_p95 < figures.idle_p95 + P95_BOUND, figures
