"""Requirements 7.2 and 7.6: comments on posts."""

import json

import pytest

from course.harness.contract import variants
from course.harness.driver import Api
from course.harness.server import LaunchedServer
from tests.stage07.people import (
    IMPOSSIBLE_ID,
    NO_SUCH_ID,
    Json,
    Person,
    comments,
    expect,
    first_admin,
    new_person,
    posts,
    read,
)
from tests.stage07.test_posts import TIME, ids, moment

COMMENT_FIELDS = {"id", "post_id", "body", "author", "created_at", "updated_at"}


@pytest.mark.requirement("7.2")
@pytest.mark.contract("B4", "B9", "E15", "E2")
def test_creating_a_comment_returns_it_as_in_the_list(
    author: Person, user: Person, visitor: Api
) -> None:
    post = author.write_post()
    path = f"/posts/{post['id']}/comments"
    answer = user.api.request("POST", path, json={"body": "Хорошо 🥛"})
    assert answer.status_code == 201
    comment = answer.json()
    assert set(comment) == COMMENT_FIELDS
    assert (comment["post_id"], comment["body"]) == (post["id"], "Хорошо 🥛")
    assert comment["author"] == {"id": user.id, "username": user.username}
    assert TIME.match(comment["created_at"])
    assert TIME.match(comment["updated_at"])
    assert comments(visitor, post) == [comment]
    assert answer.headers["location"]


@pytest.mark.requirement("7.2")
@pytest.mark.craft
def test_the_location_header_is_the_url_of_the_new_comment(
    author: Person, user: Person, visitor: Api
) -> None:
    path = f"/posts/{author.write_post()['id']}/comments"
    answer = user.api.request("POST", path, json={"body": "  Хорошо 🥛\n"})
    comment = answer.json()
    assert comment["body"] == "Хорошо 🥛"
    assert comment["created_at"] == comment["updated_at"]
    found = expect(200, visitor, "GET", answer.headers["location"])
    assert found == comment or comment in found


@pytest.mark.requirement("7.2")
@pytest.mark.contract("B9", "E21")
def test_the_pages_of_comments_have_a_stable_order(
    author: Person, user: Person, visitor: Api
) -> None:
    post = author.write_post()
    written = [who.comment_on(post)["id"] for who in (user, author, user, user, author)]
    whole = ids(comments(visitor, post))
    assert whole in (written, written[::-1])  # the contract allows both orders
    pages = [ids(comments(visitor, post, limit=2, offset=at)) for at in (0, 2, 4, 6)]
    assert pages == [whole[:2], whole[2:4], whole[4:], []]


@pytest.mark.requirement("7.2")
@pytest.mark.contract("B9", "E3")
def test_the_comments_of_an_unknown_post_get_404(user: Person) -> None:
    path = f"/posts/{NO_SUCH_ID}/comments"
    expect(404, user.api, "POST", path, json={"body": "To nobody"})
    expect(404, user.api, "GET", path)


@pytest.mark.requirement("7.6")
@pytest.mark.contract("B4")
def test_posts_and_comments_name_their_author(author: Person, user: Person, visitor: Api) -> None:
    post = author.write_post()
    user.comment_on(post)
    (listed,), (comment,) = posts(visitor, author=author.id), comments(visitor, post)
    for shown in (post, listed, read(visitor, post)):
        assert shown["author"] == {"id": author.id, "username": author.username}
    assert comment["author"] == {"id": user.id, "username": user.username}


@pytest.mark.requirement("7.6")
@pytest.mark.contract("E28")
@pytest.mark.slow
@pytest.mark.timeout(60)
def test_posts_and_comments_survive_a_restart(restartable: LaunchedServer) -> None:
    with Api(restartable) as visitor:
        administrator = first_admin(restartable, visitor)
        post = administrator.write_post()
        comment = new_person(visitor).comment_on(post)
        restartable.restart()
        assert read(visitor, post) == post | {"comments_count": 1}
        assert comments(visitor, post) == [comment]


@pytest.mark.requirement("7.2", "7.6")
@pytest.mark.contract("B4", "B9")
def test_a_comment_belongs_to_one_post(author: Person, user: Person, visitor: Api) -> None:
    first, second = author.write_post(), author.write_post()
    comment = user.comment_on(first)
    assert comments(visitor, first) == [comment]
    assert comments(visitor, second) == []
    assert (read(visitor, first)["comments_count"], read(visitor, second)["comments_count"]) == (
        1,
        0,
    )


@pytest.mark.requirement("7.2", "7.6")
@pytest.mark.contract("B4", "B7", "B8", "B10")
def test_the_comment_count_is_correct_after_each_change(
    author: Person, user: Person, admin: Person, visitor: Api
) -> None:
    post = author.write_post()

    def counts() -> set[int]:
        """Return the number of comments from each route that shows the post."""
        (listed,) = expect(200, visitor, "GET", "/posts", params={"author": author.id})
        changed = expect(200, author.api, "PATCH", f"/posts/{post['id']}", json={"title": "Now"})
        return {
            listed["comments_count"],
            changed["comments_count"],
            read(visitor, post)["comments_count"],
            len(comments(visitor, post)),
        }

    first, second = user.comment_on(post), author.comment_on(post)
    assert counts() == {2}
    user.delete("comments", first)
    assert counts() == {1}
    admin.delete("comments", second)
    assert counts() == {0}
    assert admin.restore("comments", first)["id"] == first["id"]
    assert counts() == {1}
    author.delete("posts", post)
    assert admin.restore("posts", post)["comments_count"] == 1
    assert counts() == {1}


@pytest.mark.requirement("7.2")
@pytest.mark.contract("B1", "B10")
def test_an_edited_comment_keeps_its_author(author: Person, user: Person, admin: Person) -> None:
    post = author.write_post()
    comment = user.comment_on(post)
    path = f"/comments/{comment['id']}"
    for editor, body in ((user, "Better"), (admin, "Best")):
        changed = expect(200, editor.api, "PATCH", path, json={"body": body})
        assert moment(changed["updated_at"]) >= moment(comment["updated_at"])
        assert changed == comment | {"body": body, "updated_at": changed["updated_at"]}
        assert comments(user.api, post) == [changed]


WRONG: dict[str, Json | None] = {
    "null": None,
    "null body": {"body": None},
    "blank": {"body": " \n "},
    "a number": {"body": 1},
    "NUL": {"body": "a\0b"},
    "endless": {"body": "c" * 50_000},
    "another post": {"body": "b", "post_id": 1},
    "another author": {"body": "b", "author_id": 1},
    "unknown field": {"body": "b", "colour": "red"},
    "half a surrogate pair": {"body": "\udc00"},
}


PLAINLY_WRONG = {"null", "null body", "a number"}


@pytest.mark.requirement("7.2")
@pytest.mark.contract("B9", "B10", "E4")
@pytest.mark.parametrize("problem", variants(WRONG, craft=WRONG.keys() - PLAINLY_WRONG))
def test_an_invalid_comment_gets_422(author: Person, user: Person, problem: str) -> None:
    post = author.write_post()
    body = json.dumps(WRONG[problem]).encode("ascii")
    path = f"/posts/{post['id']}/comments"
    assert user.api.request("POST", path, content=body).status_code == 422
    assert comments(user.api, post) == []
    comment = user.comment_on(post)
    changing = user.api.request("PATCH", f"/comments/{comment['id']}", content=body)
    assert changing.status_code == 422
    assert comments(user.api, post) == [comment]


@pytest.mark.requirement("7.2")
@pytest.mark.contract("B9", "E4")
def test_a_new_comment_needs_a_body(author: Person, user: Person) -> None:
    post = author.write_post()
    answer = user.api.request("POST", f"/posts/{post['id']}/comments", json={})
    assert answer.status_code == 422


@pytest.mark.requirement("7.2")
@pytest.mark.contract("E3", "E25")
@pytest.mark.parametrize("comment_id", [IMPOSSIBLE_ID, -1, 0, "x"])
def test_an_impossible_comment_id_gets_404_or_422(user: Person, comment_id: int | str) -> None:
    for method in ("PATCH", "DELETE"):
        answer = user.api.request(method, f"/comments/{comment_id}", json={"body": "b"})
        assert answer.status_code in (404, 422)


@pytest.mark.requirement("7.2")
@pytest.mark.contract("B1", "B10")
def test_a_user_who_becomes_an_author_keeps_their_comments(
    author: Person, admin: Person, visitor: Api
) -> None:
    post, somebody = author.write_post(), new_person(visitor)
    comment = somebody.comment_on(post)
    expect(200, admin.api, "PUT", f"/users/{somebody.id}/role", json={"role": "author"})
    path = f"/comments/{comment['id']}"
    assert (
        expect(200, somebody.api, "PATCH", path, json={"body": "B"})["author"]
        == (comment["author"])
    )
