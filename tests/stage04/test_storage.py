"""Requirements 4.2 and 4.3: each picture is a file with a generated name and a row."""

import re
import stat
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from course.harness.driver import Api
from course.harness.server import LaunchedServer
from tests.stage04.pictures import JPEG, jpeg, png
from tests.stage04.storage import files_in
from tests.stage04.uploads import Image, new_image

pytestmark = pytest.mark.craft

RANDOM = re.compile(r"[0-9a-f]{32}")
ROW = "SELECT filename, path, uploaded_at, content_type, size FROM images WHERE id = ?"


@pytest.fixture
def stored(api: Api) -> Image:
    """Return an uploaded JPEG."""
    return new_image(api, jpeg(), JPEG)


def path_of(server: LaunchedServer, stored: Image) -> str:
    """Return the stored path of an image."""
    found: str = server.database.query(ROW, stored["id"].replace("-", ""))[0][1]
    return found


@pytest.mark.requirement("4.3")
@pytest.mark.contract("I2")
def test_the_row_has_the_name_the_path_and_the_time(
    stored: Image, launched_server: LaunchedServer
) -> None:
    (row,) = launched_server.database.query(ROW, stored["id"].replace("-", ""))
    filename, path, uploaded_at, content_type, size = row
    assert (filename, content_type, size) == ("picture.png", JPEG, len(jpeg()))
    assert path
    if isinstance(uploaded_at, str):  # SQLite has no type for times
        uploaded_at = datetime.fromisoformat(uploaded_at)
    in_utc = uploaded_at.replace(tzinfo=UTC)
    assert in_utc == datetime.fromisoformat(stored["uploaded_at"])
    assert datetime.now(UTC) - in_utc < timedelta(minutes=5)


@pytest.mark.requirement("4.2", "4.3")
def test_the_stored_path_points_into_the_directory_of_pictures(
    stored: Image, launched_server: LaunchedServer, media: Path
) -> None:
    file = media / path_of(launched_server, stored)
    assert file.read_bytes() == jpeg()
    assert file.resolve().is_relative_to(media.resolve())


@pytest.mark.requirement("4.2", "4.3")
def test_the_stored_name_is_random_and_not_the_id_or_the_file_name(
    api: Api, launched_server: LaunchedServer
) -> None:
    images = [new_image(api) for _ in range(3)]
    paths = [path_of(launched_server, stored) for stored in images]
    names = [RANDOM.findall(path) for path in paths]
    assert [len(found) for found in names] == [1, 1, 1]
    assert len({name for (name,) in names}) == 3
    for stored, path in zip(images, paths, strict=True):
        # Otherwise the URL of a picture would reveal its path on the disk.
        assert stored["id"].replace("-", "") not in path
        assert stored["filename"].partition(".")[0] not in path


@pytest.mark.requirement("4.2")
@pytest.mark.skipif(sys.platform == "win32", reason="not checked: Windows has no executable bit")
def test_a_stored_file_is_not_executable(
    stored: Image, launched_server: LaunchedServer, media: Path
) -> None:
    mode = (media / path_of(launched_server, stored)).stat().st_mode
    assert not mode & (stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


@pytest.mark.requirement("4.2")
def test_deleting_a_picture_deletes_its_row_and_its_file(
    api: Api, stored: Image, launched_server: LaunchedServer, media: Path
) -> None:
    path = path_of(launched_server, stored)
    before = files_in(media)
    assert api.request("DELETE", f"/images/{stored['id']}").status_code == 204
    assert launched_server.database.query(ROW, stored["id"].replace("-", "")) == []
    assert files_in(media) == {name: size for name, size in before.items() if name != path}


@pytest.mark.requirement("4.2")
def test_a_picture_with_a_missing_file_gets_404_and_can_be_deleted(
    api: Api, stored: Image, launched_server: LaunchedServer, media: Path
) -> None:
    (media / path_of(launched_server, stored)).unlink()
    assert api.request("GET", stored["url"]).status_code == 404
    assert api.request("DELETE", f"/images/{stored['id']}").status_code == 204
    assert new_image(api, png())["id"]
