"""Requirements 4.2 and 4.3: pictures are stored as files and survive a restart."""

import pytest

from course.harness.driver import Api
from course.harness.server import LaunchedServer
from tests.stage04.pictures import JPEG, jpeg, opened, png
from tests.stage04.storage import files_in, media_of
from tests.stage04.uploads import list_images, new_image


@pytest.mark.requirement("4.2", "4.3")
@pytest.mark.contract("I2", "E28")
@pytest.mark.slow
@pytest.mark.timeout(60)  # a start may take long; the default for graded tests is shorter
def test_a_picture_and_its_metadata_survive_a_restart(restartable: LaunchedServer) -> None:
    with Api(restartable) as visitor:
        api = visitor.as_new_user()
        stored = new_image(api, jpeg(), JPEG)
        content = api.request("GET", stored["url"]).content
        restartable.restart()
        assert list_images(api) == [stored]
        answer = api.request("GET", stored["url"])
        assert answer.status_code == 200
        assert answer.content == content


@pytest.mark.requirement("4.2")
@pytest.mark.contract("E26", "I7")
@pytest.mark.own_stage
def test_a_picture_is_stored_as_a_file_in_the_configured_directory(
    restartable: LaunchedServer,
) -> None:
    media = media_of(restartable)
    with Api(restartable) as visitor:
        api = visitor.as_new_user()
        before = files_in(media)
        stored = new_image(api)
        added = files_in(media).keys() - before.keys()
        assert added, f"expected a new file below {media.name}, got none"
        assert api.request("DELETE", f"/images/{stored['id']}").status_code == 204
        assert files_in(media) == before


@pytest.mark.requirement("4.2")
@pytest.mark.contract("I3", "I6")
def test_two_pictures_with_one_name_are_two_files(api: Api) -> None:
    first, second = new_image(api, png(10, 10)), new_image(api, png(20, 10))
    assert first["filename"] == second["filename"]
    widths = [opened(api.request("GET", one["url"]).content).width for one in (first, second)]
    assert widths == [10, 20]


@pytest.mark.requirement("4.3")
@pytest.mark.contract("I1", "I5")
def test_the_metadata_of_a_picture_never_changes(api: Api) -> None:
    stored = new_image(api)
    reads = [api.request("GET", f"/images/{stored['id']}").json() for _ in range(10)]
    assert reads == [stored] * 10
