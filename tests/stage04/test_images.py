"""Requirement 4.4: a user lists, reads and deletes only their own images."""

import uuid
from functools import partial

import pytest

from course.harness.contract import variants
from course.harness.driver import Api
from course.harness.waiting import in_parallel
from tests.stage04.pictures import png
from tests.stage04.uploads import list_images, new_image

PAGE = 20  # images on a page by default

ODD_IDS = [
    *("x", "1", "0", "-1", "null", "%00", "%FF", "%2e%2e", "9" * 5000, "٣"),
    *("00000000-0000-0000-0000-00000000000", "00000000-0000-0000-0000-0000000000000"),
    "zzzzzzzz-zzzz-zzzz-zzzz-zzzzzzzzzzzz",
]


@pytest.mark.requirement("4.4")
@pytest.mark.contract("I4", "I5")
def test_an_image_is_the_same_by_id_and_in_the_list(api: Api) -> None:
    stored = new_image(api)
    assert api.request("GET", f"/images/{stored['id']}").json() == stored
    assert list_images(api) == [stored]


@pytest.mark.requirement("4.4")
@pytest.mark.contract("E24")
def test_an_id_is_a_uuid(api: Api) -> None:
    ids = [uuid.UUID(new_image(api)["id"]) for _ in range(3)]
    assert len(set(ids)) == 3


@pytest.mark.requirement("4.4")
@pytest.mark.craft
def test_an_id_is_a_random_uuid(api: Api) -> None:
    ids = [uuid.UUID(new_image(api)["id"]) for _ in range(3)]
    assert {image_id.version for image_id in ids} == {4}  # 122 random bits cannot be guessed


@pytest.mark.requirement("4.4")
@pytest.mark.contract("I4", "E17")
@pytest.mark.users
def test_the_list_contains_only_your_images_newest_first(api: Api) -> None:
    somebody = api.as_new_user()
    first, theirs, second, third = (new_image(who) for who in (api, somebody, api, api))
    assert list_images(api) == [third, second, first]
    assert list_images(somebody) == [theirs]
    assert list_images(api.as_new_user()) == []


@pytest.mark.requirement("4.4")
@pytest.mark.contract("I4", "E21")
@pytest.mark.users
def test_the_list_of_images_has_pages(api: Api) -> None:
    made = in_parallel(PAGE + 2, lambda _: new_image(api))
    assert not made.errors
    everything = list_images(api, limit=100)
    assert len(everything) == PAGE + 2
    times = [stored["uploaded_at"] for stored in everything]
    assert times == sorted(times, reverse=True)
    assert list_images(api) == everything[:PAGE]
    assert list_images(api, limit=3, offset=2) == everything[2:5]
    assert list_images(api, offset=PAGE) == everything[PAGE:]
    assert list_images(api, offset=1000) == []


@pytest.mark.requirement("4.4")
@pytest.mark.contract("E4", "E21")
@pytest.mark.parametrize(
    "query",
    variants(
        ["limit=0", "limit=101", "limit=x", "offset=-1", "offset=x", "offset=" + "9" * 5000],
        craft=["offset=" + "9" * 5000],
    ),
)
def test_an_invalid_query_gets_422(api: Api, query: str) -> None:
    assert api.request("GET", f"/images?{query}").status_code == 422


@pytest.mark.requirement("4.4")
@pytest.mark.contract("E3", "E17", "I5", "I7")
@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.users
def test_the_image_of_another_user_gets_404(api: Api, method: str) -> None:
    stored, somebody, none = new_image(api), api.as_new_user(), str(uuid.uuid4())
    answer = somebody.request(method, f"/images/{stored['id']}")
    never_was = somebody.request(method, f"/images/{none}")
    assert (answer.status_code, never_was.status_code) == (404, 404)
    assert isinstance(answer.json()["detail"], str)
    assert api.request("GET", f"/images/{stored['id']}").json() == stored
    assert api.request("GET", stored["url"]).status_code == 200


@pytest.mark.requirement("4.4")
@pytest.mark.craft
@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.users
def test_the_404_for_another_users_image_equals_the_404_for_an_unknown_id(
    api: Api, method: str
) -> None:
    stored, somebody, none = new_image(api), api.as_new_user(), str(uuid.uuid4())
    answer = somebody.request(method, f"/images/{stored['id']}")
    never_was = somebody.request(method, f"/images/{none}")
    said, said_of_none = answer.json()["detail"], never_was.json()["detail"]
    assert said.replace(stored["id"], "#") == said_of_none.replace(none, "#")
    assert api.request("GET", stored["url"]).content == png()


@pytest.mark.requirement("4.4")
@pytest.mark.contract("E3", "I5", "I6", "I7")
@pytest.mark.parametrize(
    "image_id",
    [
        str(uuid.UUID(int=0)),
        pytest.param(str(uuid.uuid4()), id="random"),
        *variants(ODD_IDS, craft=["%00", "%FF", "%2e%2e", "9" * 5000, "٣"]),
    ],
)
def test_an_unknown_or_malformed_id_gets_404_or_422(api: Api, image_id: str) -> None:
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/file")):
        answer = api.request(method, f"/images/{image_id}{path}")
        assert answer.status_code in (404, 422), (method, path)
        assert answer.json()["detail"]


@pytest.mark.requirement("4.4")
@pytest.mark.craft
@pytest.mark.users
def test_an_id_in_another_spelling_causes_no_server_error(api: Api) -> None:
    """A server may accept a UUID in upper case; then it is the same image for its owner."""
    stored, somebody = new_image(api), api.as_new_user()
    for spelling in (stored["id"].upper(), f"{{{stored['id']}}}", stored["id"].replace("-", "")):
        answer = api.request("GET", f"/images/{spelling}")
        assert answer.status_code in (404, 422) or answer.json() == stored
        assert somebody.request("DELETE", f"/images/{spelling}").status_code in (404, 422)
    assert api.request("GET", stored["url"]).status_code == 200


@pytest.mark.requirement("4.4")
@pytest.mark.contract("E16", "E18")
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/images"), ("GET", "/images/{id}"), ("DELETE", "/images/{id}")]
)
@pytest.mark.parametrize("token", [None, "garbage"])
@pytest.mark.users
def test_a_protected_operation_without_a_valid_token_gets_401(
    api: Api, method: str, path: str, token: str | None
) -> None:
    stored = new_image(api)
    answer = api.with_token(token).request(method, path.format(id=stored["id"]))
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].split()[0] == "Bearer"
    assert api.request("GET", stored["url"]).status_code == 200


@pytest.mark.requirement("4.4")
@pytest.mark.contract("I7")
@pytest.mark.users
def test_deleting_an_image_deletes_its_file(api: Api) -> None:
    kept, stored = new_image(api), new_image(api)
    answer = api.request("DELETE", f"/images/{stored['id']}")
    assert (answer.status_code, answer.content) == (204, b"")
    for method, path in (("GET", ""), ("GET", "/file"), ("DELETE", "")):
        assert api.request(method, f"/images/{stored['id']}{path}").status_code == 404
    assert list_images(api) == [kept]
    assert api.request("GET", kept["url"]).status_code == 200


def status_of_delete(api: Api, path: str, _client: int) -> int:
    """Delete the resource at this path and return the status."""
    return api.request("DELETE", path).status_code


@pytest.mark.requirement("4.4")
@pytest.mark.contract("B13", since=7)
@pytest.mark.users
def test_concurrent_deletes_of_one_image_succeed_exactly_once(api: Api) -> None:
    for _ in range(5):
        path = f"/images/{new_image(api)['id']}"
        answers = in_parallel(2, partial(status_of_delete, api, path))
        assert sorted(answers.results) == [204, 404]
    assert list_images(api) == []
