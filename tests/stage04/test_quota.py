"""Requirement 4.6: the number of pictures of one user is limited."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.waiting import eventually
from tests.stage04.pictures import png
from tests.stage04.storage import files_in, media_of
from tests.stage04.uploads import list_images, new_image, upload

pytestmark = pytest.mark.craft

MOST = 5


@pytest.mark.requirement("4.6")
@pytest.mark.own_stage("app/images/")
@pytest.mark.craft("E20")
@pytest.mark.users
def test_a_user_cannot_store_more_pictures_than_the_quota(launch: Launch) -> None:
    server = launch(MAX_IMAGES_PER_USER=str(MOST), DATABASE_BUSY_TIMEOUT="30")
    media = media_of(server)
    with Api(server) as visitor:
        api, somebody = visitor.as_new_user(), visitor.as_new_user()
        new_image(somebody)
        with ThreadPoolExecutor(2 * MOST) as threads:
            with server.database.write_lock():  # all rows wait, so no upload sees another one
                uploads = [threads.submit(upload, api, png()) for _ in range(2 * MOST)]
                eventually(lambda: len(files_in(media)) == 1 + 2 * MOST)
            answers = [each.result() for each in uploads]
        assert sorted(answer.status_code for answer in answers) == [201] * MOST + [409] * MOST
        refused = next(answer for answer in answers if answer.status_code == 409)
        assert str(MOST) in refused.json()["detail"]
        assert len(list_images(api)) == MOST
        assert len(files_in(media)) == MOST + 1
        new_image(somebody)
        api.request("DELETE", f"/images/{list_images(api)[0]['id']}")
        new_image(api)
        assert upload(api, png()).status_code == 409
