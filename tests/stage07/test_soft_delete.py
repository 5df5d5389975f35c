"""Requirement 7.7: deleted posts and comments are hidden, stay stored, and can be restored."""

import pytest

from course.harness.driver import Api
from course.harness.server import LaunchedServer
from course.harness.waiting import in_parallel
from tests.stage07.people import Json, Person, comments, expect, posts, read
from tests.stage07.test_posts import TIME, ids, moment

pytestmark = pytest.mark.craft

WITH_DELETED = {"include_deleted": "true"}
AT_ONCE = 6
ROUNDS = 5


def lasting(resource: Json) -> Json:
    """Return the fields of a post or comment that deleting and restoring must not change."""
    return {name: resource[name] for name in resource if name not in ("updated_at", "deleted_at")}


def row_of(server: LaunchedServer, table: str, resource: Json) -> tuple[str, str | None]:
    """Return the body and the time of deletion from the database file."""
    statement = f"SELECT body, deleted_at FROM {table} WHERE id = ?"  # noqa: S608 - our own names
    ((body, deleted_at),) = server.database.query(statement, resource["id"])
    return body, deleted_at


@pytest.mark.requirement("7.7")
@pytest.mark.contract("B7")
def test_a_deleted_post_is_hidden_from_all_users(
    author: Person, user: Person, admin: Person, visitor: Api
) -> None:
    post, kept = author.write_post(), author.write_post()
    user.comment_on(post)
    author.delete("posts", post)
    for api in (visitor, user.api, author.api, admin.api):
        assert posts(api, author=author.id) == [kept]
        assert posts(api, author=author.username) == [kept]
        assert post["id"] not in ids(posts(api, limit=100))
        expect(404, api, "GET", f"/posts/{post['id']}")
    for api in (visitor, user.api, author.api):
        expect(404, api, "GET", f"/posts/{post['id']}/comments")
    expect(404, user.api, "POST", f"/posts/{post['id']}/comments", json={"body": "Still?"})
    expect(404, author.api, "PATCH", f"/posts/{post['id']}", json={"title": "Still?"})


@pytest.mark.requirement("7.7")
@pytest.mark.craft
def test_the_comments_of_a_deleted_post_are_hidden(
    author: Person, user: Person, admin: Person
) -> None:
    post = author.write_post()
    comment = user.comment_on(post)
    author.delete("posts", post)
    expect(404, admin.api, "GET", f"/posts/{post['id']}/comments")
    for api in (user.api, admin.api):
        expect(404, api, "PATCH", f"/comments/{comment['id']}", json={"body": "Still there?"})
        expect(404, api, "DELETE", f"/comments/{comment['id']}")
        expect(404, api, "POST", f"/posts/{post['id']}/comments", json={"body": "Still?"})


@pytest.mark.requirement("7.7")
def test_the_rows_of_a_deleted_post_and_its_comments_stay(
    author: Person, user: Person, admin: Person, launched_server: LaunchedServer
) -> None:
    post = author.write_post(body="kept")
    comment = user.comment_on(post, "kept too")
    author.delete("posts", post)
    body, deleted_at = row_of(launched_server, "posts", post)
    assert (body, bool(deleted_at)) == ("kept", True)
    assert row_of(launched_server, "comments", comment) == ("kept too", None)
    admin.restore("posts", post)
    assert row_of(launched_server, "posts", post) == ("kept", None)


@pytest.mark.requirement("7.7")
def test_the_row_of_a_deleted_comment_stays(
    author: Person, user: Person, launched_server: LaunchedServer
) -> None:
    comment = user.comment_on(author.write_post(), "kept")
    user.delete("comments", comment)
    body, deleted_at = row_of(launched_server, "comments", comment)
    assert (body, bool(deleted_at)) == ("kept", True)


@pytest.mark.requirement("7.7")
@pytest.mark.contract("B8")
def test_restoring_a_post_restores_its_comments(
    author: Person, user: Person, admin: Person, visitor: Api
) -> None:
    post = author.write_post()
    first, gone, last = (user.comment_on(post) for _ in range(3))
    user.delete("comments", gone)  # deleted by itself: the contract does not ask to restore it
    before, listed = read(visitor, post), comments(visitor, post)
    admin.delete("posts", post)
    restored = admin.restore("posts", post)
    assert restored.get("deleted_at") is None
    assert lasting(restored) == lasting(before)
    assert lasting(read(visitor, post)) == lasting(before)
    assert ids(posts(visitor, author=author.id)) == [post["id"]]
    assert comments(visitor, post) == listed
    assert sorted(ids(listed)) == [first["id"], last["id"]]


@pytest.mark.requirement("7.7")
@pytest.mark.parametrize("kind", ["posts", "comments"])
def test_restoring_returns_the_unchanged_resource(author: Person, admin: Person, kind: str) -> None:
    post = author.write_post()
    resource = post if kind == "posts" else author.comment_on(post)
    author.delete(kind, resource)
    assert admin.restore(kind, resource) == resource


@pytest.mark.requirement("7.7")
@pytest.mark.contract("B10")
def test_a_restored_comment_is_unchanged(
    author: Person, user: Person, admin: Person, visitor: Api
) -> None:
    post = author.write_post()
    written = [user.comment_on(post) for _ in range(3)]
    before = comments(visitor, post)
    user.delete("comments", written[1])
    assert sorted(ids(comments(visitor, post))) == [written[0]["id"], written[2]["id"]]
    assert lasting(admin.restore("comments", written[1])) == lasting(written[1])
    assert list(map(lasting, comments(visitor, post))) == list(map(lasting, before))


@pytest.mark.requirement("7.7")
def test_a_comment_restored_under_a_deleted_post_stays_hidden(
    author: Person, user: Person, admin: Person, visitor: Api
) -> None:
    post = author.write_post()
    comment = user.comment_on(post)
    user.delete("comments", comment)
    author.delete("posts", post)
    admin.restore("comments", comment)
    expect(404, visitor, "GET", f"/posts/{post['id']}/comments")
    expect(404, user.api, "PATCH", f"/comments/{comment['id']}", json={"body": "b"})
    admin.restore("posts", post)
    assert comments(visitor, post) == [comment]


@pytest.mark.requirement("7.7")
@pytest.mark.contract("B13")
@pytest.mark.parametrize("kind", ["posts", "comments"])
def test_concurrent_deletes_succeed_exactly_once(
    author: Person, admin: Person, visitor: Api, kind: str
) -> None:
    for _ in range(ROUNDS):
        post = author.write_post()
        resource = post if kind == "posts" else author.comment_on(post)
        path = f"/{kind}/{resource['id']}"

        def delete(number: int, path: str = path) -> int:
            return (author, admin)[number % 2].api.request("DELETE", path).status_code

        answers = in_parallel(AT_ONCE, delete)
        assert not answers.errors
        assert sorted(answers.results) == [204] + [404] * (AT_ONCE - 1)
        if kind == "comments":
            assert read(visitor, post)["comments_count"] == 0


@pytest.mark.requirement("7.7")
@pytest.mark.own_stage("app/blog/")
@pytest.mark.contract("B4")
def test_the_comment_count_is_correct_after_concurrent_changes(
    author: Person, user: Person, admin: Person, visitor: Api
) -> None:
    post = author.write_post()
    written = [user.comment_on(post) for _ in range(AT_ONCE)]
    for number in range(ROUNDS):

        def change(number: int) -> None:
            comment = written[number]
            user.delete("comments", comment)
            user.comment_on(post)
            admin.restore("comments", comment)
            user.delete("comments", comment)
            admin.restore("comments", comment)

        assert not in_parallel(AT_ONCE, change).errors
        expected = (number + 2) * AT_ONCE
        assert read(visitor, post)["comments_count"] == expected
        assert len(comments(visitor, post, limit=100)) == expected


@pytest.mark.requirement("7.7")
@pytest.mark.parametrize("kind", ["posts", "comments"])
def test_concurrent_restores_all_return_the_same_result(
    author: Person, admin: Person, visitor: Api, kind: str
) -> None:
    post = author.write_post()
    resource = post if kind == "posts" else author.comment_on(post)
    before = read(visitor, post)
    author.delete(kind, resource)
    restored = in_parallel(AT_ONCE, lambda _: admin.restore(kind, resource))
    assert not restored.errors
    assert restored.results == [restored.results[0]] * AT_ONCE
    assert read(visitor, post) == before


@pytest.mark.requirement("7.7")
@pytest.mark.contract("B13", "E3")
@pytest.mark.parametrize("kind", ["posts", "comments"])
def test_a_second_delete_gets_404(author: Person, admin: Person, kind: str) -> None:
    post = author.write_post()
    resource = post if kind == "posts" else author.comment_on(post)
    author.delete(kind, resource)
    for who in (author, admin):
        expect(404, who.api, "DELETE", f"/{kind}/{resource['id']}")
    admin.restore(kind, resource)
    author.delete(kind, resource)  # it can be deleted again


@pytest.mark.requirement("7.7")
@pytest.mark.parametrize("kind", ["posts", "comments"])
def test_a_second_delete_gets_404_and_a_second_restore_succeeds(
    author: Person, admin: Person, kind: str
) -> None:
    post = author.write_post()
    resource = post if kind == "posts" else author.comment_on(post)
    author.delete(kind, resource)
    for who in (author, admin):
        expect(404, who.api, "DELETE", f"/{kind}/{resource['id']}")
    restored = admin.restore(kind, resource)
    assert admin.restore(kind, resource) == restored
    author.delete(kind, resource)  # it can be deleted again


@pytest.mark.requirement("7.7")
@pytest.mark.contract("B1", "B5", "B15")
def test_an_administrator_sees_deleted_posts_with_deleted_at(
    author: Person, admin: Person, user: Person
) -> None:
    post, kept = author.write_post(), author.write_post()
    user.comment_on(post)
    author.delete("posts", post)
    query = WITH_DELETED | {"author": author.username}
    found = expect(200, admin.api, "GET", "/posts", params=query)
    assert ids(found) == [kept["id"], post["id"]]  # in its usual place, not at the end
    assert found[0].get("deleted_at") is None
    assert TIME.match(found[1]["deleted_at"])
    assert moment(found[1]["deleted_at"]) >= moment(post["created_at"])
    one = expect(200, admin.api, "GET", f"/posts/{post['id']}", params=WITH_DELETED)
    assert one == found[1]
    assert posts(admin.api, author=author.id, include_deleted="false") == [kept]


@pytest.mark.requirement("7.7")
@pytest.mark.parametrize("value", ["2", "x", "maybe", ""])
def test_an_invalid_include_deleted_gets_422(admin: Person, value: str) -> None:
    answer = admin.api.request("GET", "/posts", params={"include_deleted": value})
    assert answer.status_code == 422


@pytest.mark.requirement("7.7")
@pytest.mark.contract("E24")
def test_the_id_of_a_deleted_post_is_not_reused(author: Person) -> None:
    post = author.write_post()
    author.delete("posts", post)
    assert author.write_post()["id"] != post["id"]
