"""Rows 7.3 and 7.5: who may do what to what: every role, every action, every state."""

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

# Who: `nobody` has no token. `owner` wrote the thing that the row is about: the post as an author,
# the comment as a user. `demoted` wrote it as an author and is a user now. The others did not
# write it.
# What: an action and the state of its thing. `hidden` is a comment whose post was deleted.
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
EITHER = {"40x": ("401", "403")}  # the contract leaves open which


@dataclass(frozen=True)
class Cast:
    """Who plays in all scenes: nothing that they do changes them."""

    nobody: Api
    user: Person
    author: Person
    owner: Person  # of the posts: an author
    commenter: Person  # the owner of the comments: a user
    demoted: Person  # an author only while writing
    admin: Person


@dataclass(frozen=True)
class Scene:
    """Who may do it and who does, the post that it is about, and the ids that the request names."""

    actors: dict[str, Api]
    who: str
    post: Json
    ids: dict[str, int]

    @property
    def actor(self) -> Api:
        """Whoever does it."""
        return self.actors[self.who]

    def played_by(self, who: str) -> "Scene":
        """Return the same scene with somebody else."""
        return replace(self, who=who)


@pytest.fixture(scope="module")
def cast(signed_out: Api, admin: Person) -> Cast:
    """The people, made once."""
    return Cast(
        nobody=signed_out,
        user=new_person(signed_out),
        author=new_person(signed_out, admin, "author"),
        owner=new_person(signed_out, admin, "author"),
        commenter=new_person(signed_out),
        demoted=new_person(signed_out),
        admin=admin,
    )


def arrange(cast: Cast, who: str, action: str, state: str) -> Scene:
    """Write a post and a comment, bring them into the state, and say who acts."""
    about_comment = action in ("edit comment", "delete comment", "restore comment")
    if who == "demoted":
        give_role(cast.admin, cast.demoted, "author")
    post = (cast.demoted if who == "demoted" else cast.owner).write_post()
    comment = (cast.demoted if who == "demoted" else cast.commenter).comment_on(post)
    if who == "demoted":
        give_role(cast.admin, cast.demoted, "user")
    if state == "deleted" and about_comment:
        cast.admin.delete("comments", comment)
    elif state in ("deleted", "hidden"):
        cast.admin.delete("posts", post)
    actors = {
        "nobody": cast.nobody,
        "user": cast.user.api,
        "author": cast.author.api,
        "owner": cast.commenter.api if about_comment else cast.owner.api,
        "demoted": cast.demoted.api,
        "admin": cast.admin.api,
    }
    ids = {"post": post["id"], "comment": comment["id"], "person": cast.user.id}
    ids = dict.fromkeys(ids, NO_SUCH_ID) if state == "unknown" else ids
    return Scene(actors, who, post, ids)


def shown(cast: Cast, scene: Scene) -> tuple[Json, list[Json]]:
    """Return what an administrator sees of the post and its comments."""
    query = {"include_deleted": "true"}
    post = expect(200, cast.admin.api, "GET", f"/posts/{scene.post['id']}", params=query)
    return post, [] if post.get("deleted_at") else comments(cast.admin.api, scene.post)


def also_right(row: str, who: str) -> set[str]:
    """Return the answers that the contract leaves open, beside that of the table."""
    action, state = row.rsplit(" ", 1)
    expected = ROWS[row][who]
    if "deleted post" in action and who != "admin":  # refused, or as if it had not been asked for
        return {"403", *(("401",) if who == "nobody" else ()), "200" if state == "live" else "404"}
    if action.startswith("restore") and state in ("live", "hidden") and expected == "200":
        return {"404", "409"}  # there was nothing to restore
    if action == "list comments" and state == "hidden" and who == "admin":
        return {"200"}
    also = set[str]()
    if state != "live" and expected == "403":
        also.add("404")  # what is not there, and somebody who may not: either may come first
    if action.startswith(("edit", "delete")) and expected == "404":
        if who not in ("owner", "admin", "nobody"):
            also.add("403")
        if state == "hidden" or (action.startswith("edit") and who == "admin"):
            of_a_live_one = ROWS[f"{action} live"][who]
            also |= {of_a_live_one} if state != "unknown" else set()
    return also


def play(cast: Cast, row: str, *, strict: bool) -> list[str]:
    """Let everybody do what the row says; return whose answer is not right."""
    action, state = row.rsplit(" ", 1)
    method, path = REQUESTS[action].split()
    wrong = []
    unchanged: Scene | None = None  # what the one before has left as it was: good for the next
    before: tuple[Json, list[Json]] | None = None
    for who, expected in ROWS[row].items():
        right = {*EITHER.get(expected, (expected,)), *(() if strict else also_right(row, who))}
        may_be_refused = method != "GET" and any(status.startswith("4") for status in right)
        if unchanged is None or who == "demoted":
            scene = arrange(cast, who, action, state)
            before = shown(cast, scene) if may_be_refused else None
        else:
            scene = unchanged.played_by(who)
        answer = scene.actor.request(
            method, path.format(**scene.ids), json=BODIES.get(action, NO_BODY)
        )
        if str(answer.status_code) not in right:
            said = " or ".join(sorted(right))
            wrong.append(f"{who}: expected {said}, got {answer.status_code}")
        if answer.status_code == 401 and "www-authenticate" not in answer.headers:
            wrong.append(f"{who}: no WWW-Authenticate")
        unchanged = scene if method == "GET" else None
        if before is not None and answer.is_client_error:
            unchanged = scene
            if shown(cast, scene) != before:
                wrong.append(f"{who}: refused, and yet something changed")
                unchanged = None
    return wrong


@pytest.mark.requirement("7.3", "7.5")
@pytest.mark.contract("B1", "B5", "B6", "B7", "B8", "B9", "B10", "B11", "E16", "E17")
@pytest.mark.every_variant
@pytest.mark.parametrize("row", ROWS)
def test_every_role_may_do_what_the_table_says(cast: Cast, row: str) -> None:
    wrong = play(cast, row, strict=False)
    assert wrong == [], f"{row}: {wrong}"


@pytest.mark.requirement("7.3", "7.5")
@pytest.mark.parametrize("row", [row for row in ROWS if any(also_right(row, who) for who in WHO)])
def test_where_the_contract_leaves_it_open_the_table_says_what_we_do(cast: Cast, row: str) -> None:
    wrong = play(cast, row, strict=True)
    assert wrong == [], f"{row}: {wrong}"


BAD_BODIES: dict[str, bytes] = {
    "wrong fields": b'{"title": 1, "body": 1, "role": 1}',
    "unknown fields": b'{"nonsense": 1}',
    "no object": b"[]",
    "cut short": b'{"title": "t',
    "no UTF-8": b'{"title": "\xff"}',
    "nothing": b"",
}


@pytest.mark.requirement("7.3")
@pytest.mark.contract("E18")
@pytest.mark.parametrize("name", ["wrong fields", "no object"])
@pytest.mark.parametrize("row", ["create post live", "edit post live", "set role live"])
def test_a_role_that_may_never_do_it_is_403_before_422(cast: Cast, row: str, name: str) -> None:
    action, state = row.rsplit(" ", 1)
    method, path = REQUESTS[action].split()
    scene = arrange(cast, "nobody", action, state)
    for who, expected in (("nobody", 401), ("user", 403)):
        answer = scene.played_by(who).actor.request(
            method, path.format(**scene.ids), content=BAD_BODIES[name]
        )
        assert answer.status_code == expected, who


@pytest.mark.requirement("7.3")
@pytest.mark.craft("E19")
@pytest.mark.parametrize("name", BAD_BODIES)
@pytest.mark.parametrize("row", [row for row in ROWS if row.rsplit(" ", 1)[0] in BODIES])
def test_401_403_and_404_take_precedence_over_422(cast: Cast, row: str, name: str) -> None:
    """Also where the thing is somebody else's, and where the body cannot even be read."""
    action, state = row.rsplit(" ", 1)
    method, path = REQUESTS[action].split()
    scene = arrange(cast, "nobody", action, state)
    wrong = []
    for who, expected in ROWS[row].items():
        if who == "demoted" or (expected == "404" and action in ("create comment", "set role")):
            continue  # what is not there at all may come before or after what was sent
        answer = scene.played_by(who).actor.request(
            method, path.format(**scene.ids), content=BAD_BODIES[name]
        )
        if str(answer.status_code) != (expected if expected.startswith("4") else "422"):
            wrong.append(f"{who}: expected {expected}, got {answer.status_code}")
    assert wrong == []


@pytest.mark.requirement("7.4")
@pytest.mark.contract("E16", "E18")
def test_who_did_not_sign_in_hears_that_before_anything_else(cast: Cast) -> None:
    post = cast.owner.write_post()
    comment = cast.commenter.comment_on(post)
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
        ("PUT", f"/users/{cast.user.id}/role"),
    ]:
        answer = cast.nobody.request(method, path, json={"nonsense": 1})
        assert answer.status_code == 401, (method, path)
        assert answer.headers["www-authenticate"].startswith("Bearer")
        wrong_token = cast.nobody.with_token("wrong").request(method, path, json={"nonsense": 1})
        assert wrong_token.status_code == 401, (method, path)


@pytest.mark.requirement("7.3", "7.5")
@pytest.mark.contract("E17", "E18")
def test_who_may_not_do_it_hears_that_before_what_is_wrong_with_the_input(cast: Cast) -> None:
    for method, path in [("POST", "/posts"), ("PUT", f"/users/{cast.user.id}/role")]:
        answer = cast.user.api.request(method, path, json={"nonsense": 1})
        assert answer.status_code == 403
        assert isinstance(answer.json()["detail"], str)


@pytest.mark.requirement("7.3")
@pytest.mark.contract("B1", "B6", "B9")
def test_authors_write_posts_and_everybody_comments(cast: Cast) -> None:
    """The other tests here build on that, so it is asked for by itself."""
    text = {"title": "t", "body": "b"}
    written = [who.api.request("POST", "/posts", json=text) for who in (cast.author, cast.admin)]
    assert [answer.status_code for answer in written] == [201, 201]
    path = f"/posts/{written[0].json()['id']}/comments"
    everybody = (cast.user, cast.author, cast.admin)
    answers = [who.api.request("POST", path, json={"body": "b"}) for who in everybody]
    assert [answer.status_code for answer in answers] == [201, 201, 201]


@pytest.mark.requirement("7.3")
@pytest.mark.contract("B1", "B10", "E17")
def test_an_author_may_not_touch_what_others_wrote_below_the_post(cast: Cast) -> None:
    post = cast.owner.write_post()
    comment = cast.commenter.comment_on(post)
    path = f"/comments/{comment['id']}"
    for method in ("PATCH", "DELETE"):
        answer = cast.owner.api.request(method, path, json={"body": "Changed"})
        assert answer.status_code == 403, method
    assert comments(cast.nobody, post) == [comment]


@pytest.mark.requirement("7.3")
def test_a_refusal_says_nothing_about_who_wrote_it(cast: Cast) -> None:
    post = cast.owner.write_post(body="private until it is read")
    answer = cast.author.api.request("PATCH", f"/posts/{post['id']}", json={"title": "Mine"})
    assert answer.status_code == 403
    assert cast.owner.username not in answer.text
    assert read(cast.nobody, post) == post
