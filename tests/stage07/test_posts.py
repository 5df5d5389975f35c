"""Requirements 7.1 and 7.6: posts, their fields, and their list."""

import json
import re
import secrets
from datetime import datetime
from typing import Any

import pytest

from course.harness.contract import variants
from course.harness.driver import Api
from course.harness.problems import field_errors
from tests.stage03.accounts import PASSWORD, register
from tests.stage07.people import (
    IMPOSSIBLE_ID,
    NO_SUCH_ID,
    Json,
    Person,
    expect,
    give_role,
    new_person,
    person,
    posts,
    read,
)

TITLE_LONGEST = 200  # characters
POST_FIELDS = {"id", "title", "body", "author", "comments_count", "created_at", "updated_at"}
TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)$")


def moment(text: str) -> datetime:
    """Return a time of an answer."""
    return datetime.fromisoformat(text)


def post_request(author: Person, **fields: Any) -> Any:
    """Send a new post and return the answer, also when it is an error."""
    return author.api.request("POST", "/posts", json=fields)


def ids(page: list[Json]) -> list[int]:
    """Return the ids of a page in its order."""
    return [post["id"] for post in page]


@pytest.mark.requirement("7.1")
@pytest.mark.contract("B4", "B5", "B6", "B15", "E2")
def test_creating_a_post_returns_it_as_read_by_id(author: Person, visitor: Api) -> None:
    answer = post_request(author, title="Привет 🥛", body="Line one\nline two")
    assert answer.status_code == 201
    post = answer.json()
    assert set(post) - {"deleted_at"} == POST_FIELDS
    assert post.get("deleted_at") is None
    assert (post["title"], post["body"]) == ("Привет 🥛", "Line one\nline two")
    assert post["author"] == {"id": author.id, "username": author.username}
    assert post["comments_count"] == 0
    assert TIME.match(post["created_at"])
    assert TIME.match(post["updated_at"])
    assert read(visitor, post) == post
    assert posts(visitor, author=author.id) == [post]


@pytest.mark.requirement("7.1")
@pytest.mark.contract("E15", "B5")
def test_the_location_header_is_the_url_of_the_new_post(author: Person, visitor: Api) -> None:
    answer = post_request(author, title="Here", body="It is")
    assert answer.headers["location"].endswith(f"/posts/{answer.json()['id']}")
    assert expect(200, visitor, "GET", answer.headers["location"]) == answer.json()


@pytest.mark.requirement("7.1")
@pytest.mark.contract("B5", "E21")
def test_the_pages_of_posts_start_with_the_newest(author: Person, visitor: Api) -> None:
    written = [author.write_post()["id"] for _ in range(7)]
    newest_first = written[::-1]
    assert ids(posts(visitor, author=author.id)) == newest_first
    pages = [ids(posts(visitor, author=author.id, limit=3, offset=at)) for at in (0, 3, 6, 9)]
    assert pages == [newest_first[:3], newest_first[3:6], newest_first[6:], []]
    # This list has the posts of all users. Others may write meanwhile, but the order stays.
    everybodys = [post["id"] for post in posts(visitor, limit=100) if post["id"] in written]
    assert everybodys == newest_first


@pytest.mark.requirement("7.1")
@pytest.mark.contract("B5", "B7")
def test_a_changed_post_keeps_its_place_in_the_list(author: Person, visitor: Api) -> None:
    first, second = author.write_post(), author.write_post()
    expect(200, author.api, "PATCH", f"/posts/{first['id']}", json={"title": "Changed"})
    assert ids(posts(visitor, author=author.id)) == [second["id"], first["id"]]


@pytest.mark.requirement("7.1")
@pytest.mark.contract("B5", "E21")
def test_a_page_has_20_posts_by_default(author: Person, visitor: Api) -> None:
    for _ in range(21):
        author.write_post()
    assert len(posts(visitor, author=author.id)) == 20
    assert len(posts(visitor, author=author.id, limit=100)) == 21


@pytest.mark.requirement("7.1")
@pytest.mark.contract("E4", "E21")
@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "offset=-1", "offset=x"])
def test_an_invalid_page_gets_422(visitor: Api, query: str) -> None:
    assert visitor.request("GET", f"/posts?{query}").status_code == 422


@pytest.mark.requirement("7.1", "7.6")
@pytest.mark.contract("B5", "B14")
def test_the_list_can_be_filtered_by_the_id_or_name_of_an_author(
    author: Person, visitor: Api, admin: Person
) -> None:
    other = new_person(visitor, admin, "author")
    mine, theirs = author.write_post(), other.write_post()
    for name in (author.id, author.username):
        assert posts(visitor, author=name) == [mine]
    assert posts(visitor, author=other.username) == [theirs]


@pytest.mark.requirement("7.1", "7.6")
@pytest.mark.craft
def test_the_author_filter_ignores_case(author: Person, visitor: Api) -> None:
    mine = author.write_post()
    for name in (author.username.upper(), author.username.lower()):
        assert posts(visitor, author=name) == [mine]


@pytest.mark.requirement("7.1")
@pytest.mark.contract("B14")
def test_the_author_filter_prefers_an_id_over_a_name_of_digits(
    author: Person, visitor: Api, admin: Person
) -> None:
    digits = str(10**11 + secrets.randbelow(10**11))
    assert register(visitor, digits).status_code == 201
    named = person(visitor, digits, PASSWORD)
    give_role(admin, named, "author")
    post = named.write_post()
    assert posts(visitor, author=digits) == [post]
    assert posts(visitor, author=named.id) == [post]
    mine = author.write_post()
    # This name equals the id of another user; the id takes precedence.
    rival = str(author.id)
    if len(rival) >= 3 and register(visitor, rival).status_code == 201:
        other = person(visitor, rival, PASSWORD)
        give_role(admin, other, "author")
        other.write_post()
    assert posts(visitor, author=rival) == [mine]


@pytest.mark.requirement("7.1")
@pytest.mark.craft
@pytest.mark.parametrize(
    "name", ["nobody-of-that-name", NO_SUCH_ID, "0", "9" * 50, "%", "' OR 1=1 --", "\0", "²", "😀"]
)
def test_an_unknown_author_gets_an_empty_list(visitor: Api, name: str | int) -> None:
    answer = visitor.request("GET", "/posts", params={"author": str(name)})
    assert (answer.status_code, answer.json()) == (200, [])


@pytest.mark.requirement("7.1")
@pytest.mark.contract("B14")
@pytest.mark.parametrize("name", ["nobody-of-that-name", NO_SUCH_ID])
def test_an_unknown_author_has_no_posts(visitor: Api, name: str | int) -> None:
    answer = visitor.request("GET", "/posts", params={"author": str(name)})
    assert answer.status_code in (200, 404)
    assert answer.status_code == 404 or answer.json() == []


@pytest.mark.requirement("7.1")
@pytest.mark.contract("B7")
def test_patch_changes_only_the_fields_that_are_sent(author: Person, visitor: Api) -> None:
    post = author.write_post(body="First")
    path = f"/posts/{post['id']}"
    changed = expect(200, author.api, "PATCH", path, json={"title": "Second"})
    assert moment(changed["updated_at"]) >= moment(post["updated_at"])
    assert changed == post | {"title": "Second", "updated_at": changed["updated_at"]}
    again = expect(200, author.api, "PATCH", path, json={"body": "Third"})
    assert (again["title"], again["body"]) == ("Second", "Third")
    assert read(visitor, post) == again


@pytest.mark.requirement("7.1")
@pytest.mark.craft
def test_only_an_edit_with_fields_advances_updated_at(author: Person) -> None:
    post = author.write_post()
    assert post["created_at"] == post["updated_at"]
    path = f"/posts/{post['id']}"
    assert expect(200, author.api, "PATCH", path, json={}) == post
    changed = expect(200, author.api, "PATCH", path, json={"title": "Second"})
    assert moment(changed["updated_at"]) > moment(post["updated_at"])
    comment = author.comment_on(post)
    changed = expect(200, author.api, "PATCH", f"/comments/{comment['id']}", json={"body": "B"})
    assert moment(changed["updated_at"]) > moment(comment["updated_at"])


@pytest.mark.requirement("7.1")
@pytest.mark.contract("B7")
def test_an_empty_patch_changes_nothing(author: Person, visitor: Api) -> None:
    post = author.write_post()
    answered = expect(200, author.api, "PATCH", f"/posts/{post['id']}", json={})
    assert answered == post | {"updated_at": answered["updated_at"]}
    assert read(visitor, post) == answered


@pytest.mark.requirement("7.1")
@pytest.mark.contract("B1", "B7")
def test_a_post_keeps_its_author_after_an_administrator_edits_it(
    author: Person, admin: Person
) -> None:
    post = author.write_post()
    changed = expect(200, admin.api, "PATCH", f"/posts/{post['id']}", json={"title": "Better"})
    assert changed["author"] == post["author"]


@pytest.mark.requirement("7.1")
@pytest.mark.craft
def test_a_title_is_trimmed_before_its_length_is_checked(author: Person) -> None:
    longest = "ю" * TITLE_LONGEST
    assert author.write_post(f"  {longest}\n")["title"] == longest
    post = author.write_post()
    body = {"title": f"  {longest} "}
    assert expect(200, author.api, "PATCH", f"/posts/{post['id']}", json=body)["title"] == longest


WRONG: dict[str, Json] = {
    "no title": {"body": "b"},
    "no body": {"title": "t"},
    "blank title": {"title": " \n\t ", "body": "b"},
    "long title": {"title": "t" * (TITLE_LONGEST + 1), "body": "b"},
    "NUL in the title": {"title": "t\0t", "body": "b"},
    "title is a number": {"title": 1, "body": "b"},
    "title is null": {"title": None, "body": "b"},
    "blank body": {"title": "t", "body": " \n "},
    "endless body": {"title": "t", "body": "b" * 500_000},
    "NUL in the body": {"title": "t", "body": "b\0b"},
    "body is a list": {"title": "t", "body": ["b"]},
    "author_id of another user": {"title": "t", "body": "b", "author_id": 1},
    "deleted_at is set": {"title": "t", "body": "b", "deleted_at": "2020-01-01T00:00:00Z"},
    "an unknown field": {"title": "t", "body": "b", "colour": "red"},
    "half a surrogate pair": {"title": "\ud800", "body": "b"},
}


PLAINLY_WRONG = {"no title", "no body", "title is a number", "title is null", "body is a list"}


@pytest.mark.requirement("7.1")
@pytest.mark.contract("B6", "B7", "E4")
@pytest.mark.parametrize("problem", variants(WRONG, craft=WRONG.keys() - PLAINLY_WRONG))
def test_an_invalid_post_gets_422(author: Person, visitor: Api, problem: str) -> None:
    fields = WRONG[problem]
    ascii_body = json.dumps(fields).encode("ascii")
    answer = author.api.request("POST", "/posts", content=ascii_body)
    assert answer.status_code == 422
    assert field_errors(answer)
    assert posts(visitor, author=author.id) == []
    if problem.startswith("no "):
        return
    post = author.write_post()
    assert (
        author.api.request("PATCH", f"/posts/{post['id']}", content=ascii_body).status_code == 422
    )
    assert read(visitor, post) == post


@pytest.mark.requirement("7.1")
@pytest.mark.contract("E3", "E25")
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
@pytest.mark.parametrize("post_id", [IMPOSSIBLE_ID, -1, 0, "x"])
def test_an_impossible_post_id_gets_404_or_422(
    author: Person, method: str, post_id: int | str
) -> None:
    answer = author.api.request(method, f"/posts/{post_id}", json={"title": "t"})
    assert answer.status_code in (404, 422)


@pytest.mark.requirement("7.1")
@pytest.mark.contract("E22")
def test_a_body_over_one_mib_gets_413(author: Person) -> None:
    assert post_request(author, title="t", body="b" * 1024 * 1024).status_code == 413
