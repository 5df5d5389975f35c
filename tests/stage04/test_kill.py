"""Requirement 4.2: after a kill at any moment, every file has its row and every row its file."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.raw_http import connect, head
from course.harness.server import LaunchedServer
from course.harness.waiting import eventually, in_parallel
from tests.stage04.pictures import JPEG, PNG, jpeg, png
from tests.stage04.storage import files_in, media_of, rows_of
from tests.stage04.uploads import Image, disposition, form, list_images, new_image, part, upload

pytestmark = pytest.mark.craft

WORKERS = 4
BEFORE_THE_KILL = 10  # acknowledged requests
NOT_OURS = ["holiday.part", "holiday.jpg", "notes.txt", "0" * 31 + ".part", "0" * 32 + ".jpg"]


@pytest.fixture(scope="module")
def private_server(launch_for_module: Launch) -> LaunchedServer:
    """Return a server that tests of this file kill; each test leaves it running."""
    return launch_for_module()


@pytest.fixture
def api(private_server: LaunchedServer) -> Iterator[Api]:
    """Return a driver of that server."""
    with Api(private_server) as visitor:
        yield visitor.as_new_user()


def start_an_hour_later(server: LaunchedServer) -> None:
    """Start the server with a clock one hour later, so that no file looks like a running upload."""
    now = time.time()
    for path in media_of(server).iterdir():
        os.utime(path, (now, now - 3600))
    server.start()


def assert_in_order(server: LaunchedServer) -> None:
    """Check that every row has its file, with the right size, and every file its row."""
    assert files_in(media_of(server)) == rows_of(server)


def file_of(server: LaunchedServer, stored: Image) -> Path:
    """Return the file of an image."""
    statement = "SELECT path FROM images WHERE id = ?"
    path: str = server.database.query(statement, stored["id"].replace("-", ""))[0][0]
    return media_of(server) / path


def half_an_upload(api: Api) -> socket.socket:
    """Begin an upload and return the connection; the second half of the body is missing."""
    body, headers = form(part(disposition("half.png"), png(), PNG))
    headers |= {"Content-Length": str(len(body)), "Authorization": f"Bearer {api.token}"}
    connection = connect(api.server)
    connection.sendall(head(api.server, "POST", "/images", headers) + body[: len(body) // 2])
    return connection


@pytest.mark.requirement("4.2")
@pytest.mark.own_stage("app/images/")
def test_a_kill_during_many_uploads_loses_no_acknowledged_image(
    api: Api, private_server: LaunchedServer
) -> None:
    killed = threading.Event()
    acknowledged: dict[str, bytes] = {}

    def work(worker: int) -> None:
        content, content_type = (png(), PNG) if worker % 2 else (jpeg(), JPEG)
        while not killed.is_set():
            stored = new_image(api, content, content_type)
            acknowledged[stored["url"]] = content
            if len(acknowledged) > BEFORE_THE_KILL and not killed.is_set():
                killed.set()
                private_server.kill()

    with ExitStack() as connections:
        for _ in range(3):
            connections.enter_context(half_an_upload(api))
        in_parallel(WORKERS, work)  # requests after the kill may fail
    start_an_hour_later(private_server)
    assert_in_order(private_server)
    for url, content in acknowledged.items():
        assert api.request("GET", url).content == content
    assert new_image(api)["id"]


@pytest.mark.requirement("4.2")
@pytest.mark.own_stage("app/images/")
def test_a_kill_during_a_deletion_leaves_both_row_and_file_or_neither(
    api: Api, private_server: LaunchedServer
) -> None:
    stored = new_image(api)
    path, media = f"/images/{stored['id']}", media_of(private_server)
    before = len(os.listdir(media))  # noqa: PTH208
    deleting = threading.Thread(target=in_parallel, args=(1, lambda _: api.request("DELETE", path)))
    deleting.start()
    deadline = time.monotonic() + 5
    while len(os.listdir(media)) == before and time.monotonic() < deadline:  # noqa: PTH208
        pass  # no pause: between the file and the row there are one or two milliseconds
    private_server.kill()
    deleting.join()
    start_an_hour_later(private_server)
    assert_in_order(private_server)
    there = api.request("GET", path).status_code
    assert (there, api.request("GET", stored["url"]).status_code) in ((200, 200), (404, 404))


@pytest.mark.requirement("4.2")
@pytest.mark.own_stage("app/images/")
def test_a_kill_between_file_and_row_leaves_no_file_and_no_row(
    api: Api, private_server: LaunchedServer
) -> None:
    """The worst moment: the file is written, and the row waits for a locked database."""
    kept, media = new_image(api), media_of(private_server)
    before = len(files_in(media))
    with private_server.database.write_lock():
        waiting = threading.Thread(target=in_parallel, args=(3, lambda _: upload(api, png())))
        waiting.start()
        eventually(lambda: len(files_in(media)) == before + 3)
        private_server.kill()
        waiting.join()
    start_an_hour_later(private_server)
    assert_in_order(private_server)
    assert list_images(api) == [kept]
    assert api.request("GET", kept["url"]).content == png()


@pytest.mark.requirement("4.2")
def test_a_start_keeps_stored_pictures_and_files_of_other_programs(
    api: Api, private_server: LaunchedServer
) -> None:
    """A file has `.part` in its name until its row is committed; this kill came right after that.

    The other files belong to another program, because the setting names a wrong directory.
    """
    stored, media = new_image(api), media_of(private_server)
    file = file_of(private_server, stored)
    private_server.kill()
    file.rename(file.with_suffix(".part"))
    theirs = [media / other for other in NOT_OURS]
    for other in theirs:
        other.write_bytes(b"not ours")
    start_an_hour_later(private_server)
    assert [other.read_bytes() for other in theirs] == [b"not ours"] * len(theirs)
    for other in theirs:
        other.unlink()
    assert_in_order(private_server)
    assert api.request("GET", stored["url"]).content == png()
