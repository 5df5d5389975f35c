"""Requirements 7.3 and 7.5: permissions of every role for every action in every state."""

from dataclasses import dataclass, replace

import pytest

from course.harness.driver import NO_BODY, Api
from tests.stage07.people import (
    NO_SUCH_ID,
    Json,
    Person,
    comments,
    expect,
    give_role,
    new_person,
    read,
)

pytestmark = pytest.mark.craft

# Columns: `nobody` has no token. `owner` created the resource of the row: an author created the
# post, a user created the comment. `demoted` created it as an author and is a user now. The others
# did not create it. Rows: an action and the state of its resource. `hidden` is a comment on a
# deleted post.
MATRIX = """
action                state      nobody  user  author  owner  demoted  admin

list posts            live       200     200   200     200    200      200
list deleted posts    live       40x     403   403     403    403      200
read post             live       200     200   200     200    200      200
read post             deleted    404     404   404     404    404      404
read post             unknown    404     404   404     404    404      404
read deleted post     live       40x     403   403     403    403      200
read deleted post     deleted    40x     403   403     403    403      200
read deleted post     unknown    40x     403   403     403    403      404
create post           live       401     403   201     201    403      201
edit post             live       401     403   403     200    403      200
edit post             deleted    401     403   404     404    403      404
edit post             unknown    401     403   404     404    403      404
delete post           live       401     403   403     204    403      204
delete post           deleted    401     403   404     404    403      404
delete post           unknown    401     403   404     404    403      404
restore post          live       401     403   403     403    403      200
restore post          deleted    401     403   403     403    403      200
restore post          unknown    401     403   403     403    403      404

list comments         live       200     200   200     200    200      200
list comments         hidden     404     404   404     404    404      404
list comments         unknown    404     404   404     404    404      404
create comment        live       401     201   201     201    201      201
create comment        hidden     401     404   404     404    404      404
create comment        unknown    401     404   404     404    404      404
edit comment          live       401     403   403     200    200      200
edit comment          deleted    401     404   404     404    404      404
edit comment          hidden     401     404   404     404    404      404
edit comment          unknown    401     404   404     404    404      404
delete comment        live       401     403   403     204    204      204
delete comment        deleted    401     404   404     404    404      404
delete comment        hidden     401     404   404     404    404      404
delete comment        unknown    401     404   404     404    404      404
restore comment       live       401     403   403     403    403      200
restore comment       deleted    401     403   403     403    403      200
restore comment       hidden     401     403   403     403    403      200
restore comment       unknown    401     403   403     403    403      404

list users            live       401     403   403     403    403      200
set role              live       401     403   403     403    403      200
set role              unknown    401     403   403     403    403      404
"""
HEADINGS, *LINES = [line for line in MATRIX.splitlines() if line]
WHO = HEADINGS.split()[2:]
ROWS = {
    " ".join(words[: -len(WHO)]): dict(zip(WHO, words[-len(WHO) :], strict=True))
    for words in map(str.split, LINES)
}

REQUESTS = {
    "list posts": "GET /posts",
    "list deleted posts": "GET /posts?include_deleted=true",
    "read post": "GET /posts/{post}",
    "read deleted post": "GET /posts/{post}?include_deleted=true",
    "create post": "POST /posts",
    "edit post": "PATCH /posts/{post}",
    "delete post": "DELETE /posts/{post}",
    "restore post": "POST /posts/{post}/restore",
    "list comments": "GET /posts/{post}/comments",
    "create comment": "POST /posts/{post}/comments",
    "edit comment": "PATCH /comments/{comment}",
    "delete comment": "DELETE /comments/{comment}",
    "restore comment": "POST /comments/{comment}/restore",
    "list users": "GET /users",
    "set role": "PUT /users/{person}/role",
}
BODIES = {
    "create post": {"title": "New", "body": "New"},
    "edit post": {"title": "Changed"},
    "create comment": {"body": "New"},
    "edit comment": {"body": "Changed"},
    "set role": {"role": "user"},
}
EITHER = {"40x": ("401", "403")}  # the contract allows both


@dataclass(frozen=True)
class Users:
    """The users of all cases; no case changes them."""

    nobody: Api
    user: Person
    author: Person
    owner: Person  # created the posts, with the role author
    commenter: Person  # created the comments, with the role user
    demoted: Person  # has the role author only while writing
    admin: Person


@dataclass(frozen=True)
class Case:
    """The drivers of a case, the acting user, the post, and the ids for the URL."""

    actors: dict[str, Api]
    who: str
    post: Json
    ids: dict[str, int]

    @property
    def actor(self) -> Api:
        """Return the driver of the user who acts."""
        return self.actors[self.who]

    def as_user(self, who: str) -> "Case":
        """Return the same case for another user."""
        return replace(self, who=who)


@pytest.fixture(scope="module")
def users(signed_out: Api, admin: Person) -> Users:
    """Return the users, created once for the module."""
    return Users(
        nobody=signed_out,
        user=new_person(signed_out),
        author=new_person(signed_out, admin, "author"),
        owner=new_person(signed_out, admin, "author"),
        commenter=new_person(signed_out),
        demoted=new_person(signed_out),
        admin=admin,
    )


def prepare(users: Users, who: str, action: str, state: str) -> Case:
    """Create a post and a comment, bring them into the state, and return the case."""
    about_comment = action in ("edit comment", "delete comment", "restore comment")
    if who == "demoted":
        give_role(users.admin, users.demoted, "author")
    post = (users.demoted if who == "demoted" else users.owner).write_post()
    comment = (users.demoted if who == "demoted" else users.commenter).comment_on(post)
    if who == "demoted":
        give_role(users.admin, users.demoted, "user")
    if state == "deleted" and about_comment:
        users.admin.delete("comments", comment)
    elif state in ("deleted", "hidden"):
        users.admin.delete("posts", post)
    actors = {
        "nobody": users.nobody,
        "user": users.user.api,
        "author": users.author.api,
        "owner": users.commenter.api if about_comment else users.owner.api,
        "demoted": users.demoted.api,
        "admin": users.admin.api,
    }
    ids = {"post": post["id"], "comment": comment["id"], "person": users.user.id}
    ids = dict.fromkeys(ids, NO_SUCH_ID) if state == "unknown" else ids
    return Case(actors, who, post, ids)


def shown(users: Users, case: Case) -> tuple[Json, list[Json]]:
    """Return the post and its comments as an administrator sees them."""
    query = {"include_deleted": "true"}
    post = expect(200, users.admin.api, "GET", f"/posts/{case.post['id']}", params=query)
    return post, [] if post.get("deleted_at") else comments(users.admin.api, case.post)


def also_allowed(row: str, who: str) -> set[str]:
    """Return the other answers that the contract allows besides the one in the table."""
    action, state = row.rsplit(" ", 1)
    expected = ROWS[row][who]
    if "deleted post" in action and who != "admin":  # a server may refuse or ignore the parameter
        return {"403", *(("401",) if who == "nobody" else ()), "200" if state == "live" else "404"}
    if action.startswith("restore") and state in ("live", "hidden") and expected == "200":
        return {"404", "409"}  # the resource was not deleted
    if action == "list comments" and state == "hidden" and who == "admin":
        return {"200"}
    also = set[str]()
    if state != "live" and expected == "403":
        also.add("404")  # a server may check first whether the resource exists
    if action.startswith(("edit", "delete")) and expected == "404":
        if who not in ("owner", "admin", "nobody"):
            also.add("403")
        if state == "hidden" or (action.startswith("edit") and who == "admin"):
            of_a_live_one = ROWS[f"{action} live"][who]
            also |= {of_a_live_one} if state != "unknown" else set()
    return also


def wrong_answers(users: Users, row: str, *, strict: bool) -> list[str]:
    """Send the request of a row as every user; return a line for each wrong answer."""
    action, state = row.rsplit(" ", 1)
    method, path = REQUESTS[action].split()
    wrong = []
    unchanged: Case | None = None  # a case that the last request left unchanged can be reused
    before: tuple[Json, list[Json]] | None = None
    for who, expected in ROWS[row].items():
        right = {*EITHER.get(expected, (expected,)), *(() if strict else also_allowed(row, who))}
        may_be_refused = method != "GET" and any(status.startswith("4") for status in right)
        if unchanged is None or who == "demoted":
            case = prepare(users, who, action, state)
            before = shown(users, case) if may_be_refused else None
        else:
            case = unchanged.as_user(who)
        answer = case.actor.request(
            method, path.format(**case.ids), json=BODIES.get(action, NO_BODY)
        )
        if str(answer.status_code) not in right:
            said = " or ".join(sorted(right))
            wrong.append(f"{who}: expected {said}, got {answer.status_code}")
        if answer.status_code == 401 and "www-authenticate" not in answer.headers:
            wrong.append(f"{who}: no WWW-Authenticate")
        unchanged = case if method == "GET" else None
        if before is not None and answer.is_client_error:
            unchanged = case
            if shown(users, case) != before:
                wrong.append(f"{who}: the request was refused, but it changed something")
                unchanged = None
    return wrong


@pytest.mark.requirement("7.3", "7.5")
@pytest.mark.contract("B1", "B5", "B6", "B7", "B8", "B9", "B10", "B11", "E16", "E17")
@pytest.mark.every_variant
@pytest.mark.parametrize("row", ROWS)
def test_every_role_has_the_permissions_of_the_table(users: Users, row: str) -> None:
    wrong = wrong_answers(users, row, strict=False)
    assert wrong == [], f"{row}: {wrong}"


@pytest.mark.requirement("7.3", "7.5")
@pytest.mark.parametrize("row", [row for row in ROWS if any(also_allowed(row, who) for who in WHO)])
def test_the_answers_match_the_table_exactly(users: Users, row: str) -> None:
    wrong = wrong_answers(users, row, strict=True)
    assert wrong == [], f"{row}: {wrong}"


BAD_BODIES: dict[str, bytes] = {
    "wrong fields": b'{"title": 1, "body": 1, "role": 1}',
    "unknown fields": b'{"nonsense": 1}',
    "not an object": b"[]",
    "incomplete": b'{"title": "t',
    "not UTF-8": b'{"title": "\xff"}',
    "nothing": b"",
}


@pytest.mark.requirement("7.3")
@pytest.mark.contract("E18")
@pytest.mark.parametrize("name", ["wrong fields", "not an object"])
@pytest.mark.parametrize("row", ["create post live", "edit post live", "set role live"])
def test_403_for_a_role_takes_precedence_over_422(users: Users, row: str, name: str) -> None:
    action, state = row.rsplit(" ", 1)
    method, path = REQUESTS[action].split()
    case = prepare(users, "nobody", action, state)
    for who, expected in (("nobody", 401), ("user", 403)):
        answer = case.as_user(who).actor.request(
            method, path.format(**case.ids), content=BAD_BODIES[name]
        )
        assert answer.status_code == expected, who


@pytest.mark.requirement("7.3")
@pytest.mark.craft("E19")
@pytest.mark.parametrize("name", BAD_BODIES)
@pytest.mark.parametrize("row", [row for row in ROWS if row.rsplit(" ", 1)[0] in BODIES])
def test_401_403_and_404_take_precedence_over_422(users: Users, row: str, name: str) -> None:
    """This also holds for resources of other users, and for bodies that cannot be read."""
    action, state = row.rsplit(" ", 1)
    method, path = REQUESTS[action].split()
    case = prepare(users, "nobody", action, state)
    wrong = []
    for who, expected in ROWS[row].items():
        if who == "demoted" or (expected == "404" and action in ("create comment", "set role")):
            continue  # 404 may come before or after 422
        answer = case.as_user(who).actor.request(
            method, path.format(**case.ids), content=BAD_BODIES[name]
        )
        if str(answer.status_code) != (expected if expected.startswith("4") else "422"):
            wrong.append(f"{who}: expected {expected}, got {answer.status_code}")
    assert wrong == []


@pytest.mark.requirement("7.4")
@pytest.mark.contract("E16", "E18")
def test_401_takes_precedence_over_all_other_errors(users: Users) -> None:
    post = users.owner.write_post()
    comment = users.commenter.comment_on(post)
    for method, path in [
        ("POST", "/posts"),
        ("PATCH", f"/posts/{post['id']}"),
        ("PATCH", f"/posts/{NO_SUCH_ID}"),
        ("DELETE", f"/posts/{post['id']}"),
        ("POST", f"/posts/{post['id']}/restore"),
        ("POST", f"/posts/{post['id']}/comments"),
        ("PATCH", f"/comments/{comment['id']}"),
        ("DELETE", f"/comments/{comment['id']}"),
        ("POST", f"/comments/{comment['id']}/restore"),
        ("GET", "/users"),
        ("PUT", f"/users/{users.user.id}/role"),
    ]:
        answer = users.nobody.request(method, path, json={"nonsense": 1})
        assert answer.status_code == 401, (method, path)
        assert answer.headers["www-authenticate"].startswith("Bearer")
        wrong_token = users.nobody.with_token("wrong").request(method, path, json={"nonsense": 1})
        assert wrong_token.status_code == 401, (method, path)


@pytest.mark.requirement("7.3", "7.5")
@pytest.mark.contract("E17", "E18")
def test_403_takes_precedence_over_422(users: Users) -> None:
    for method, path in [("POST", "/posts"), ("PUT", f"/users/{users.user.id}/role")]:
        answer = users.user.api.request(method, path, json={"nonsense": 1})
        assert answer.status_code == 403
        assert isinstance(answer.json()["detail"], str)


@pytest.mark.requirement("7.3")
@pytest.mark.contract("B1", "B6", "B9")
def test_authors_can_write_posts_and_all_users_can_comment(users: Users) -> None:
    """The other tests of this file depend on this rule, so it has its own test."""
    text = {"title": "t", "body": "b"}
    written = [who.api.request("POST", "/posts", json=text) for who in (users.author, users.admin)]
    assert [answer.status_code for answer in written] == [201, 201]
    path = f"/posts/{written[0].json()['id']}/comments"
    everybody = (users.user, users.author, users.admin)
    answers = [who.api.request("POST", path, json={"body": "b"}) for who in everybody]
    assert [answer.status_code for answer in answers] == [201, 201, 201]


@pytest.mark.requirement("7.3")
@pytest.mark.contract("B1", "B10", "E17")
def test_an_author_cannot_change_comments_of_others_on_their_post(users: Users) -> None:
    post = users.owner.write_post()
    comment = users.commenter.comment_on(post)
    path = f"/comments/{comment['id']}"
    for method in ("PATCH", "DELETE"):
        answer = users.owner.api.request(method, path, json={"body": "Changed"})
        assert answer.status_code == 403, method
    assert comments(users.nobody, post) == [comment]


@pytest.mark.requirement("7.3")
def test_a_403_does_not_name_the_owner(users: Users) -> None:
    post = users.owner.write_post(body="private until it is read")
    answer = users.author.api.request("PATCH", f"/posts/{post['id']}", json={"title": "Mine"})
    assert answer.status_code == 403
    assert users.owner.username not in answer.text
    assert read(users.nobody, post) == post
