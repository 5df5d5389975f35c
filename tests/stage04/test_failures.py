"""Requirement 4.2: if the database or the disk fails, row and file agree, and no answer is 500."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.server import LaunchedServer
from course.harness.waiting import in_parallel
from tests.stage02.reasons import reason_in
from tests.stage02.unusable import IMPATIENT
from tests.stage04.pictures import JPEG, exif, jpeg, png
from tests.stage04.storage import files_in, media_of, rows_of
from tests.stage04.uploads import list_images, new_image, upload

pytestmark = pytest.mark.craft


@pytest.mark.requirement("4.2")
@pytest.mark.own_stage("app/images/")
def test_a_locked_database_neither_leaves_nor_deletes_a_file(
    launch: Launch,
) -> None:
    server = launch(start=True, **IMPATIENT)
    media = media_of(server)
    with Api(server) as visitor:
        api = visitor.as_new_user()
        kept = new_image(api)
        before = files_in(media)
        attempts: list[Callable[[], int]] = [
            lambda: upload(api, png()).status_code,
            lambda: upload(api, jpeg(), content_type=JPEG).status_code,
            lambda: upload(api, jpeg(exif=exif(location=True)), content_type=JPEG).status_code,
            lambda: api.request("DELETE", f"/images/{kept['id']}").status_code,
        ]
        with server.database.write_lock():
            refused = in_parallel(len(attempts), lambda number: attempts[number]())
        assert refused.results == [503] * len(attempts)
        assert files_in(media) == before
        assert list_images(api) == [kept]
        assert api.request("GET", kept["url"]).content == png()
        assert new_image(api)["id"]
        assert api.request("DELETE", f"/images/{kept['id']}").status_code == 204
    assert "Traceback" not in server.log_text()


@contextmanager
def away(media: Path) -> Iterator[None]:
    """Remove a directory for a while, like a disk that is not mounted."""
    elsewhere = media.rename(media.with_name("not mounted"))
    try:
        yield
    finally:
        elsewhere.rename(media)


@pytest.mark.requirement("4.2")
def test_a_missing_directory_gets_503_until_it_returns(api: Api, media: Path) -> None:
    stored = new_image(api)
    with away(media):
        answer = upload(api, png())
        assert answer.status_code == 503
        assert isinstance(answer.json()["detail"], str)
        assert int(answer.headers["retry-after"]) > 0
        assert str(media) not in answer.text
        assert api.request("GET", stored["url"]).status_code == 404
        assert list_images(api) == [stored]
        assert api.create_todo("goes on")["title"] == "goes on"
    assert api.request("GET", stored["url"]).content == png()
    assert new_image(api)["id"]


@pytest.mark.requirement("4.2")
@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0, reason="not checked: root can write anywhere"
)
def test_a_read_only_directory_gets_503_and_loses_no_picture(
    api: Api, media: Path, launched_server: LaunchedServer
) -> None:
    stored = new_image(api)
    mode = media.stat().st_mode
    media.chmod(0o555)
    try:
        assert upload(api, png()).status_code == 503
        assert api.request("DELETE", f"/images/{stored['id']}").status_code == 503
    finally:
        media.chmod(mode)
    assert api.request("GET", stored["url"]).content == png()
    assert files_in(media).keys() >= rows_of(launched_server).keys()


def a_file_instead(server: LaunchedServer) -> None:
    """Create a file where the directory should be."""
    (server.data_dir / "media").write_text("not a directory", encoding="utf-8")


def not_writable(server: LaunchedServer) -> None:
    """Set the directory to one that even root cannot write to."""
    server.settings["MEDIA_DIR"] = "/proc/self/media" if os.name == "posix" else "\\\\?\\nowhere"


Spoil = Callable[[LaunchedServer], None]
SPOILS: list[Spoil] = [a_file_instead, not_writable]


@pytest.fixture(scope="module")
def refused(launch_for_module: Launch) -> dict[Spoil, LaunchedServer]:
    """Return all servers with a bad directory after their attempts to start."""
    servers = {spoil: launch_for_module(start=False) for spoil in SPOILS}
    for spoil, server in servers.items():
        spoil(server)
    in_parallel(len(servers), lambda number: servers[SPOILS[number]].start())
    return servers


@pytest.mark.requirement("4.2")
@pytest.mark.own_stage("app/images/")
@pytest.mark.parametrize("spoil", SPOILS, ids=lambda spoil: spoil.__name__)
def test_a_server_without_a_usable_directory_exits_and_says_why(
    refused: dict[Spoil, LaunchedServer], spoil: Spoil, stage: int
) -> None:
    server = refused[spoil]
    assert server.exit_code not in (0, None)
    assert "MEDIA_DIR" in reason_in(server.log_text(), stage)
