"""The scene of a drill: a stack whose parts are restarted when they end, and its clients.

`supervise` acts like Compose's `restart: unless-stopped`: it restarts each part that ends, unless
the drill itself has stopped it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from course.harness.database import PostgresDatabase
from course.harness.ledger import Ledger
from course.harness.waiting import eventually
from tools.drill.clients import Clients, Gateway
from tools.drill.record import CHAT, JOB, JOB_DONE, WRITE, Difference, Record, compare
from tools.stack.part import Part
from tools.stack.stack import Stack

CALM = 3.0  # seconds, before something breaks and after it
_LOOK_EVERY = 0.25
_ENDS = 30.0
_RESTARTS = 10.0
_SETTLES_WITHIN = 90.0  # seconds, for the jobs that were accepted, and for cached values

Drill = Callable[["Scene", Clients], Awaitable[str]]
User = dict[str, str]


class Scene:
    """A running stack, three users, and a connection of our own to the database."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.parts = stack.parts
        self.database = PostgresDatabase(stack.parts.database_url)
        self.gateway = Gateway([part.address for part in stack.parts.apis])
        self._ledger = Ledger(self.database)  # each end of a job
        self._stopped: set[str] = set()
        self._users: list[User] = []
        self._last_message = 0

    async def sign_in(self) -> None:
        """Register the users."""
        self._users = [await self.gateway.new_user() for _ in range(3)]

    async def supervise(self) -> None:
        """Restart parts that have ended; does not return."""
        while True:
            for part in self.parts.all:
                runs_on = part.is_up or part is self.parts.migrate or part.name in self._stopped
                if not runs_on:
                    await asyncio.to_thread(part.start)
            await asyncio.sleep(_LOOK_EVERY)

    async def stop(self, part: Part) -> None:
        """Stop a part and wait until it has ended; it stays down."""
        self._stopped.add(part.name)
        part.ask_to_stop()
        await self.until_ended(part)

    async def start(self, part: Part) -> None:
        """Start a part that was stopped, and wait until it is ready."""
        await asyncio.to_thread(part.start)
        self._stopped.discard(part.name)
        await self.until_ready(part)

    async def until_ended(self, part: Part) -> None:
        """Wait until a stopping part has ended; raise `AssertionError` if it does not end."""
        asked = part.process.pid

        def has_ended() -> bool:
            # The supervisor may have restarted it before we look.
            return part.process.pid != asked or part.process.exit_code is not None

        await asyncio.to_thread(eventually, has_ended, within=_ENDS)

    async def until_ready(self, part: Part) -> None:
        """Wait until a part runs again and is ready; raise `DidNotStart` if it is late."""
        await asyncio.to_thread(eventually, lambda: part.is_up, within=_RESTARTS)
        await asyncio.to_thread(self.stack.wait_until_ready, part)

    async def run(
        self, name: str, drill: Drill, *, seconds: float, calm: float = CALM
    ) -> tuple[Record, str, Difference]:
        """Run a drill for at least `seconds`.

        Nothing breaks in the first and the last `calm` seconds. Returns the record, the drill's
        sentence, and the broken promises.
        """
        record = self.gateway.record = Record()
        clients = Clients(self.gateway, self._users[0], name)
        async with self._used(clients):
            await asyncio.sleep(calm)
            note = await drill(self, clients)
            left = seconds - calm - (time.time() - record.began)
            await asyncio.sleep(max(0, left) + calm)
            record.ended = time.time()
            record_when_used = record.attempts, record.failed_attempts
            clients.stopping = True
            difference = await self._settle(clients, record)
        record.attempts, record.failed_attempts = record_when_used
        self._note_ends_of_jobs(record)
        return record, note, difference

    @asynccontextmanager
    async def _used(self, clients: Clients) -> AsyncIterator[None]:
        """Run all clients; the listeners of the chat stay until the very end."""
        one, two, three = self._users
        said = await clients.history(0, three, self._last_message)
        self._last_message = max((message["id"] for message in said), default=self._last_message)
        programs = [
            *(program(first) for first in (0, 1) for program in (clients.write, clients.read)),
            *(clients.send_jobs(first) for first in (0, 1)),
            *(clients.speak(0, one), clients.speak(1, two)),
        ]
        tasks = [asyncio.create_task(program) for program in programs]
        tasks.append(asyncio.create_task(clients.listen(1, three, self._last_message)))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(result, Exception):
                    raise result

    async def _settle(self, clients: Clients, record: Record) -> Difference:
        """Wait until no promise is broken; return those that are still broken at the deadline."""
        for part in self.parts.all:
            if part is not self.parts.migrate:
                await self.until_ready(part)
        deadline = time.monotonic() + _SETTLES_WITHIN
        while True:
            difference = await self._differences(clients, record)
            if not difference or difference.doubled or time.monotonic() > deadline:
                return difference
            await asyncio.sleep(_LOOK_EVERY)

    async def _differences(self, clients: Clients, record: Record) -> Difference:
        promised = record.acknowledged
        titles = await self._texts("SELECT title FROM todos")
        jobs = await self._ends_of_jobs()
        total = compare("todo, stored", promised[WRITE], titles)
        total += compare("job, accepted", promised[JOB], {text for text, _, _ in jobs})
        done = [text for text, end, _ in jobs if end == "succeeded"]
        total += compare("job, done", promised[JOB], done)
        for number in (0, 1):
            seen = await self._todos_of_api(number)
            total += compare(f"todo, as api-{number + 1} shows it", promised[WRITE], seen)
            said = await clients.history(number, self._users[0], self._last_message)
            texts = [message["text"] for message in said]
            total += compare(f"chat, as api-{number + 1} shows it", promised[CHAT], texts)
        total += compare("chat, as received live", promised[CHAT], record.heard)
        return total + Difference(
            [], [f"chat, on one socket: {text}" for text in record.heard_twice]
        )

    async def _todos_of_api(self, number: int) -> list[str]:
        titles: list[str] = []
        while True:
            answer = await self.gateway.request(
                number, "GET", "/todos", params={"offset": len(titles)}, headers=self._users[0]
            )
            if answer is None or not answer.is_success:
                return titles
            page = [todo["title"] for todo in answer.json()]
            if not page:
                return titles
            titles += page

    async def _texts(self, statement: str) -> list[str]:
        rows = await asyncio.to_thread(self.database.query, statement)
        return [str(text) for (text,) in rows]

    async def _ends_of_jobs(self) -> list[tuple[str, str, float]]:
        """Return text, status and time of each end of each job; a job that has not ended has ''."""
        statement = (
            "SELECT split_part(j.text, chr(10), 1), coalesce(c.new, ''), coalesce(c.at, 0)"
            " FROM jobs j LEFT JOIN changes_of_jobs c ON c.job_id = replace(j.id::text, '-', '')"
            " AND c.new IN ('succeeded', 'failed', 'cancelled')"
        )
        rows = await asyncio.to_thread(self.database.query, statement)
        return [(str(text), str(end), float(at)) for text, end, at in rows]

    def _note_ends_of_jobs(self, record: Record) -> None:
        statement = "SELECT at FROM changes_of_jobs WHERE new = 'succeeded'"
        record.good_at[JOB_DONE] = [float(at) for (at,) in self.database.query(statement)]


@asynccontextmanager
async def supervised(stack: Stack) -> AsyncIterator[Scene]:
    """Start a stack with a supervisor and yield the scene."""
    scene = Scene(stack)
    supervisor = asyncio.create_task(scene.supervise())
    try:
        await scene.sign_in()
        yield scene
    finally:
        supervisor.cancel()
        with suppress(asyncio.CancelledError):
            await supervisor
        await scene.gateway.close()
