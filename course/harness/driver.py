"""A client of the course's API that hides what the stages changed.

A test calls `api.create_todo(...)`, and the driver adds a token if the stage needs one. Methods
with the name of an operation expect success; otherwise they raise an `AssertionError` that shows
the exchange. `request` sends anything and checks nothing.
"""

from __future__ import annotations

import itertools
import json as json_module
import secrets
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import httpx

from course.harness import profile
from course.harness.bounded import BoundedTransport
from course.harness.exchange import (
    Exchange,
    asking,
    mask,
    note_registration,
    note_sign_in,
    remember,
    throw_away,
    throw_away_of,
)
from course.harness.server import Server

Todo = dict[str, Any]

PAGE = 100  # the longest page a list may have
ANSWER_WITHIN = 20.0  # seconds; a grade may set fewer


class _NoBody:
    def __repr__(self) -> str:
        return "no body"  # in the id of a test


NO_BODY: Any = _NoBody()  # unlike None, which is sent as `null`

# Many threads may share a client. httpcore may close an idle connection beyond `max_keepalive`
# while another thread uses it ("Bad file descriptor"), so the limit is never reached. uvicorn
# closes a connection that was idle for 5 seconds, so the client closes it earlier.
CONNECTIONS = httpx.Limits(max_connections=100, max_keepalive_connections=100, keepalive_expiry=2)

_visitors = itertools.count()


class Api:
    """A client of one server, signed in as one user or not at all.

    When several processes serve one app, each client uses one of them, in turn.
    The client may be used from many threads. Close it, or use it in a `with` statement.
    """

    def __init__(
        self,
        server: Server,
        *,
        client: httpx.Client | None = None,
        token: str | None = None,
        turn: int | None = None,
    ) -> None:
        self.server = server
        self.token = token
        self._turn = next(_visitors) if turn is None else turn
        self._users = itertools.count(self._turn)
        # Certificates take time to load, so only for https.
        self._client = client or httpx.Client(
            trust_env=False,
            timeout=ANSWER_WITHIN,
            transport=BoundedTransport(
                verify=server.base_url.startswith("https:"), limits=CONNECTIONS
            ),
        )

    @property
    def base_url(self) -> str:
        """Scheme, host and port of this client's process; a restart may change the port."""
        base_urls = self.server.base_urls
        return base_urls[self._turn % len(base_urls)]

    @property
    def client(self) -> httpx.Client:
        """The connections, for another driver that shares them."""
        return self._client

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, also those of every driver that `as_new_user` made."""
        self._client.close()

    def as_new_user(self) -> Api:
        """Return a driver for a new user, or without a user where the stage has none."""
        if not self.server.has_users:
            return Api(self.server, client=self._client)
        credentials = {
            "username": f"user_{secrets.token_hex(6)}",
            "password": secrets.token_urlsafe(12),
        }
        self._register(credentials)
        token = self._sign_in(credentials)
        return Api(self.server, client=self._client, token=token, turn=next(self._users))

    def _register(self, credentials: Mapping[str, str]) -> None:
        self._expect(201, "POST", "/auth/register", json=credentials)

    def _sign_in(self, credentials: Mapping[str, str]) -> str:
        answer = self._expect(200, "POST", "/auth/token", data=credentials)
        token: str = answer.json()["access_token"]
        return token

    def with_token(self, token: str | None) -> Api:
        """Return a driver that sends this token, or none, over the same connections."""
        return Api(self.server, client=self._client, token=token, turn=self._turn)

    def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = NO_BODY,
        content: bytes | Iterable[bytes] | None = None,
        data: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        follow_redirects: bool = False,
    ) -> httpx.Response:
        """Send a request to a path (or a whole URL) and return any answer.

        `json=None` sends `null`. `content` is sent as it is, as JSON unless `headers` say
        otherwise; an iterable goes out chunked. Raises `httpx.TransportError` when no answer comes.
        """
        names = profile.active()
        address = names.path(path)
        url = address if address.startswith(("http:", "https:")) else self.base_url + address
        sent = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        if content is not None:
            sent["Content-Type"] = "application/json"
        if content is not None and names.renames(path):
            whole = content if isinstance(content, bytes) else b"".join(content)
            renamed = names.raw_body(path, whole)
            content = renamed if isinstance(content, bytes) else [renamed]  # still chunked
        body: dict[str, Any] = {"content": content, "data": data}
        if json is None:
            body = {"content": b"null"}
            sent["Content-Type"] = "application/json"
        elif json is not NO_BODY:
            body = {"json": names.body(path, json)}
        request = self._client.build_request(
            method, url, params=params, headers=sent | dict(headers or {}), **body
        )
        credentials = _fields(json, content) if path == "/auth/register" else {}
        throw_away(credentials.get("password"))
        form = data or (content if isinstance(content, bytes) else None)
        username = throw_away_of(form) if path == "/auth/token" else ""
        number = asking(method, str(request.url))
        try:
            response = self._client.send(request, follow_redirects=follow_redirects)
        except httpx.TransportError as error:
            self._remember(request, number, username, problem=f"{type(error).__name__}: {error}")
            raise
        exchange = self._remember(response.request, number, username, response)
        answer = names.answer(path, response)
        if credentials and answer.status_code == httpx.codes.CREATED:
            note_registration(credentials.get("username"), exchange)
        if path == "/auth/token" and answer.status_code == httpx.codes.OK:
            note_sign_in(_fields(NO_BODY, answer.content).get("access_token"), form, exchange)
        return answer

    def create_todo(self, title: str | None = None, **fields: Any) -> Todo:
        """Create a todo, with a new title unless one is given, and return it."""
        fields["title"] = f"todo {secrets.token_hex(4)}" if title is None else title
        return self._todo(201, "POST", "/todos", json=fields)

    def get_todo(self, todo_id: int) -> Todo:
        """Return one todo."""
        return self._todo(200, "GET", f"/todos/{todo_id}")

    def list_todos(self, **query: Any) -> list[Todo]:
        """Return one page of todos; `completed`, `limit` and `offset` are those of the contract."""
        todos: list[Todo] = self._expect(200, "GET", "/todos", params=query).json()
        return todos

    def every_todo(self, **query: Any) -> Iterator[Todo]:
        """Yield the todos of every page, in the order of the list."""
        limit = query.pop("limit", PAGE)
        offset, before = 0, list[Todo]()
        while page := self.list_todos(limit=limit, offset=offset, **query):
            assert page[0] not in before, "a page repeats todos of the page before it"
            yield from page
            offset, before = offset + len(page), page

    def replace_todo(self, todo_id: int, **fields: Any) -> Todo:
        """Replace a todo with exactly these fields and return it."""
        return self._todo(200, "PUT", f"/todos/{todo_id}", json=fields)

    def patch_todo(self, todo_id: int, **fields: Any) -> Todo:
        """Change these fields of a todo and return it."""
        return self._todo(200, "PATCH", f"/todos/{todo_id}", json=fields)

    def delete_todo(self, todo_id: int) -> None:
        """Delete a todo."""
        self._expect(204, "DELETE", f"/todos/{todo_id}")

    def _todo(self, status: int, method: str, path: str, **options: Any) -> Todo:
        __tracebackhide__ = True
        todo: Todo = self._expect(status, method, path, **options).json()
        return todo

    def _expect(self, status: int, method: str, path: str, **options: Any) -> httpx.Response:
        __tracebackhide__ = True
        response = self.request(method, path, **options)
        if response.status_code != status:
            answer = response.text[:500]
            raise AssertionError(
                f"{method} {path}: expected {status}, got {response.status_code} {mask(answer)}"
            )
        return response

    def _remember(
        self,
        request: httpx.Request,
        number: int,
        username: str,
        response: httpx.Response | None = None,
        problem: str = "",
    ) -> Exchange:
        try:
            body = request.content
        except httpx.RequestNotRead:
            body = b"(sent in chunks)"
        return remember(
            self.server,
            request.method,
            str(request.url),
            request.headers.items(),
            body,
            status=response.status_code if response else None,
            response_headers=response.headers.items() if response else (),
            response_body=response.content if response else b"",
            problem=problem,
            number=number,
            username=username,
        )


def _fields(json: Any, content: object) -> dict[str, Any]:
    """Return the fields of a JSON body, or none."""
    if json is NO_BODY and isinstance(content, bytes):
        try:
            json = json_module.loads(content)
        except ValueError:
            return {}
    return json if isinstance(json, dict) else {}
