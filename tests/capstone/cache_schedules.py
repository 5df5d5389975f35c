"""Run the capstone's cache through every order of its steps; `test_cache_schedules.py` starts this.

It imports the app, so it runs in the app's environment. Redis, the database and the subscription
are models: each call stops at a gate before its effect, and at another one before its answer
arrives. A schedule says which of the closed gates opens next. All schedules of a scenario are run,
each from its beginning: a depth-first search, which changes the last choice with an alternative.

In every schedule: a read that starts after a write was acknowledged by the same process returns
this write or a newer one; when all is done, every connected process returns the newest.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Callable, Coroutine
from itertools import count
from types import SimpleNamespace
from typing import Any

from app.cache.cache import LOOK_EVERY, Cache
from app.cache.levels import EVERYTHING, Found
from app.config import Settings

NAMESPACE, KEY = "todos:1", "one:1"
SENT, ANSWERED = "is sent", "is answered"

SETTINGS = Settings(cache_l1_ttl=1000, cache_l1_size=10_000)
real_sleep = asyncio.sleep


class Schedule:
    """The choices of one run: first those that are given, then always the first alternative."""

    def __init__(self, given: list[int]) -> None:
        self._given = deque(given)
        self.taken: list[tuple[int, int]] = []  # the choice, of how many

    def choose(self, alternatives: int) -> int:
        """Return one of so many."""
        choice = self._given.popleft() if self._given else 0
        self.taken.append((choice, alternatives))
        return choice


class World:
    """What all processes of a run share: the gates, the database, Redis."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.gates: list[tuple[str, bool, asyncio.Future[None]]] = []
        self.trace: list[str] = []
        self.free = True  # gates open by themselves: while the processes connect
        self.faults = 0  # that may still happen
        self.stays_lost = False  # listeners notice late, and connect again at the end
        self.answers_at_once = "nobody"  # a process that Redis answers as soon as it has acted
        self.row = 0  # the database: how often it was written
        self.generations: dict[str, str] = {}
        self.values: dict[str, tuple[str, bytes]] = {}
        self.locks: dict[str, str] = {}
        self.words = map(str, count())
        self.subscriptions: list[Subscription] = []
        self.processes: list[Process] = []

    async def gate(self, label: str, *, last: bool = False) -> None:
        """Stop until the schedule opens this gate; a `last` one waits until no other is closed."""
        if self.free:
            return
        opened = asyncio.get_running_loop().create_future()
        entry = (label, last, opened)
        self.gates.append(entry)
        try:
            await opened
        finally:
            if entry in self.gates:
                self.gates.remove(entry)

    async def call(self, label: str, effect: Callable[[], Any]) -> Any:
        """Do what Redis would do, unless a fault comes before or after it."""
        await self.gate(f"{label} {SENT}")
        fault = self.schedule.choose(3) if self.faults and not self.free else 0
        if fault:
            self.faults -= 1
            self.wake_listeners()
        if fault == 1:
            self.trace.append(f"{label} does not reach Redis")
            raise ConnectionError
        answer = effect()
        if fault == 2:
            self.trace.append(f"the answer to {label} is lost")
            raise ConnectionError
        if not label.endswith(self.answers_at_once):
            await self.gate(f"{label} {ANSWERED}")
        return answer

    async def run(self, doing: list[asyncio.Task[None]]) -> None:
        """Open one gate after the other until everybody is done."""
        self.free = False
        await settle()
        while not all(task.done() for task in doing) or self.to_deliver():
            ready = [entry for entry in self.gates if not entry[1]] or self.gates
            assert ready, "everybody waits, and nothing can happen"
            choice = self.schedule.choose(len(ready)) if len(ready) > 1 else 0
            label, _, opened = ready[choice]
            self.gates.remove(ready[choice])
            self.trace.append(label)
            opened.set_result(None)
            await settle()
            for process in self.processes:
                process.check_first_level()
        self.free = True
        for _, _, opened in self.gates:
            opened.set_result(None)
        await settle()

    def wake_listeners(self) -> None:
        """Let them look what happened, as they do twice a second."""
        for subscription in self.subscriptions:
            subscription.arrived.set()

    def to_deliver(self) -> bool:
        """Return whether a process has not read all its messages."""
        return any(subscription.messages for subscription in self.subscriptions)

    def stamp(self) -> str:
        """Return the generations of the only namespace."""
        generations = (
            self.generations.setdefault(name, next(self.words)) for name in (EVERYTHING, NAMESPACE)
        )
        return ":".join(generations)


class Shared:
    """What `SharedCache` does, step by step, for one process."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name

    async def read(self, _namespace: str, key: str) -> Found:
        """As the script READ."""

        def read() -> Found:
            stamp = self.world.stamp()
            found = self.world.values.get(key)
            if found is not None and found[0] == stamp:
                return Found(stamp.encode(), found[1], False)
            if self.world.locks.get(key, "").startswith(f"{stamp} "):
                return Found(stamp.encode(), None, False)
            self.world.locks[key] = f"{stamp} {self.name}"
            return Found(stamp.encode(), None, True)

        found: Found = await self.world.call(f"read of {self.name}", read)
        return found

    async def store(
        self, _namespace: str, key: str, stamp: bytes, value: bytes, *, ttl: int
    ) -> bool:
        """As the script STORE."""
        del ttl

        def store() -> bool:
            is_valid = self.world.stamp() == stamp.decode()
            if is_valid and value:
                self.world.values[key] = (stamp.decode(), value)
            if self.world.locks.get(key) == f"{stamp.decode()} {self.name}":
                del self.world.locks[key]
            return is_valid

        return bool(await self.world.call(f"store of {self.name}", store))

    async def invalidate(self, namespaces: set[str]) -> None:
        """As the script INVALIDATE."""

        def invalidate() -> None:
            for namespace in namespaces:
                self.world.generations[namespace] = next(self.world.words)
            for subscription in self.world.subscriptions:
                subscription.publish(self.name, namespaces)

        await self.world.call(f"invalidate of {self.name}", invalidate)


class Subscription:
    """What a `PubSub` does, for one process."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.messages: deque[dict[str, Any]] = deque()
        self.arrived = asyncio.Event()

    async def __aenter__(self) -> Subscription:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.messages.clear()
        if self in self.world.subscriptions:
            self.world.subscriptions.remove(self)

    async def subscribe(self, _channel: str) -> None:
        """Send the command; its effect comes with its confirmation."""
        self._put({"type": "subscribe"})

    def publish(self, origin: str, namespaces: set[str]) -> None:
        """Put a message behind the others; a process does nothing with its own."""
        if origin != self.name:
            self._put({"type": "message", "data": " ".join([origin, *namespaces]).encode()})

    async def get_message(self, *, timeout: float) -> dict[str, Any] | None:  # noqa: ASYNC109
        """Return a message; after a fault, None: then it was silent for `timeout`."""
        del timeout
        await self.arrived.wait()
        if not self.messages:
            self.arrived.clear()
            if self.world.stays_lost:
                await self.world.gate(f"{self.name} notices that Redis is lost")
            return None
        message = self.messages[0]
        if message["type"] == "subscribe":
            self.world.subscriptions.append(self)
        elif self.name != self.world.answers_at_once:
            await self.world.gate(f"message to {self.name}")
        self.messages.popleft()
        if not self.messages:
            self.arrived.clear()
        return message

    async def ping(self) -> None:
        """Ask Redis for a sign of life, which the model always gives."""

    def _put(self, message: dict[str, Any]) -> None:
        self.messages.append(message)
        self.arrived.set()


class Process:
    """A process with the real cache; `seen` is the newest write that it has acknowledged."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.seen = 0
        redis: Any = SimpleNamespace(pubsub=lambda: Subscription(world, name))
        self.cache = Cache(SETTINGS, None)
        self.cache._redis = redis
        self.cache._shared = Shared(world, name)

    async def load(self) -> bytes:
        """Read the row, as a session does."""
        await self.world.gate(f"load of {self.name} {SENT}")
        row = str(self.world.row).encode()
        if self.name != self.world.answers_at_once:
            await self.world.gate(f"load of {self.name} {ANSWERED}")
        return row

    async def read(self, *, gate: bool = True) -> None:
        """Read through the cache; what this process has acknowledged must be seen."""
        if gate:
            await self.world.gate(f"{self.name} begins to read")
        at_least = self.seen
        found = await self.cache.get(NAMESPACE, KEY, self.load, int)
        self.world.trace.append(f"{self.name} reads {found.value} from {found.level}")
        assert found.value >= at_least, f"write {at_least} is acknowledged"

    def check_first_level(self) -> None:
        """Assert that the first level has nothing older than what was acknowledged."""
        body = self.cache._local.get(NAMESPACE, KEY)
        held = f"the first level of {self.name} has {body}, write {self.seen} is acknowledged"
        assert body is None or body >= self.seen, held

    async def write(self, *, gate: bool = True) -> None:
        """Write and acknowledge, as a request does: see `app/database.py`."""
        if gate:
            await self.world.gate(f"commit of {self.name} {SENT}")
        self.world.row += 1
        written = self.world.row
        try:
            await self.world.gate(f"commit of {self.name} {ANSWERED}")
        finally:
            self.cache.invalidate_here({NAMESPACE})
            if self.world.stays_lost:
                await self.world.gate(f"the session of {self.name} is closed")
            await self.cache.invalidate_everywhere({NAMESPACE})
        self.seen = max(self.seen, written)
        self.world.trace.append(f"{self.name} acknowledges {written}")

    def lose(self) -> None:
        """Lose Redis, as when a call fails."""
        self.cache._lose(ConnectionError())
        self.world.wake_listeners()

    async def lose_later(self) -> None:
        """Lose Redis at some moment."""
        await self.world.gate(f"{self.name} loses Redis")
        self.lose()

    async def connected(self) -> None:
        """Return when the process has its Redis again."""
        await self.cache._connected.wait()

    async def cancelled_write(self) -> None:
        """Write, and be cancelled at some moment."""
        writing = asyncio.create_task(self.write())
        await self.world.gate(f"the write of {self.name} is cancelled")
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)


Doing = list[Coroutine[Any, Any, None]]


def a_reader_finds_the_old_value_in_redis(one: Process) -> Doing:
    """The first level is empty, Redis has the old value."""
    return [one.write(), one.read(gate=False), one.read()]


def a_reader_loads_the_old_value(one: Process) -> Doing:
    """No level has the value yet."""
    one.world.values.clear()
    return [one.write(), one.read()]


def two_writers_and_a_reader(one: Process) -> Doing:
    """The second writer waits while the first one's call to Redis is under way."""
    return [one.write(gate=False), one.write(gate=False), one.read()]


def a_writer_is_cancelled(one: Process) -> Doing:
    """The commit may have happened: the old value must not stay."""
    return [one.cancelled_write(), one.read()]


def redis_fails_once(one: Process) -> Doing:
    """A call does not reach Redis, or its answer is lost, at any step."""
    one.world.faults = 1
    return [one.write(gate=False), one.read()]


def redis_fails_while_a_reader_loads(one: Process) -> Doing:
    """The same, and no level has the value yet."""
    one.world.values.clear()
    return redis_fails_once(one)


def redis_fails_for_another_request(one: Process) -> Doing:
    """The process goes on without Redis, while an answer of Redis is on its way."""
    one.world.stays_lost = True
    return [one.write(gate=False), one.read(), one.lose_later()]


def another_process_reads(one: Process, other: Process) -> Doing:
    """The message reaches the other process at any time."""
    return [one.write(), other.read()]


def another_process_loads(one: Process, other: Process) -> Doing:
    """The other process loads the old value, slowly."""
    one.world.values.clear()
    return [one.write(), other.read()]


def a_write_while_the_process_connects(one: Process, other: Process) -> Doing:
    """Another process fills Redis meanwhile."""
    one.world.values.clear()
    one.world.answers_at_once = other.name
    one.lose()
    return [one.connected(), one.write(), other.read(gate=False)]


SCENARIOS: dict[str, tuple[int, Callable[..., Doing]]] = {
    scenario.__name__: (processes, scenario)
    for processes, scenario in (
        (1, a_reader_finds_the_old_value_in_redis),
        (1, a_reader_loads_the_old_value),
        (1, two_writers_and_a_reader),
        (1, a_writer_is_cancelled),
        (1, redis_fails_once),
        (1, redis_fails_while_a_reader_loads),
        (1, redis_fails_for_another_request),
        (2, another_process_reads),
        (2, another_process_loads),
        (2, a_write_while_the_process_connects),
    )
}


async def settle() -> None:
    """Return when everybody waits at a gate, for somebody else or for nothing."""
    ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]
    await real_sleep(0)
    while ready:
        await real_sleep(0)


async def run(scenario: str, schedule: Schedule) -> None:
    """Run one schedule; raise `AssertionError` with its steps when it breaks a promise."""
    world = World(schedule)

    async def sleep(seconds: float) -> None:
        # A process that looks again and again would do so for ever before anything else happens.
        await world.gate(f"{seconds} s pass", last=seconds == LOOK_EVERY or world.stays_lost)

    asyncio.sleep = sleep  # type: ignore[assignment]
    number, begin = SCENARIOS[scenario]
    processes = world.processes = [Process(world, name) for name in ("one", "other")[:number]]
    listening = [asyncio.create_task(process.cache._listen()) for process in processes]
    await settle()
    assert all(process.cache._connected.is_set() for process in processes)
    world.values[KEY] = (world.stamp(), b"0")
    doing = [asyncio.create_task(each) for each in begin(*processes)]
    try:
        await world.run(doing)
        for task in doing:
            task.result()
        for process in processes:
            await process.read()
            found = await process.cache.get(NAMESPACE, KEY, process.load, int)
            is_newest = found.value == world.row or not process.cache._connected.is_set()
            assert is_newest, f"at the end {process.name} returns {found.value} of {world.row}"
    except AssertionError as error:
        steps = "\n".join(f"  {step}" for step in world.trace)
        raise AssertionError(f"{error}:\n{steps}") from error
    finally:
        for task in (*listening, *doing):
            task.cancel()
        await asyncio.gather(*listening, *doing, return_exceptions=True)


def explore(scenario: str) -> int:
    """Run all schedules of a scenario; return how many there are."""
    path: list[int] = []
    with asyncio.Runner() as runner:
        for number in count(1):
            schedule = Schedule(path)
            runner.run(run(scenario, schedule))
            while schedule.taken and schedule.taken[-1][0] == schedule.taken[-1][1] - 1:
                schedule.taken.pop()
            if not schedule.taken:
                return number
            path = [choice for choice, _ in schedule.taken]
            path[-1] += 1
    raise AssertionError


if __name__ == "__main__":
    try:
        print(explore(sys.argv[1]))
    except AssertionError as error:
        sys.exit(f"{sys.argv[1]}: {error}")
