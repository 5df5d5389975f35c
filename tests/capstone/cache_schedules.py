"""Run the capstone's cache with every order of its steps; started by `test_cache_schedules.py`.

This file imports the app, so it runs in the app's environment. Redis, the database and the
subscription are models. Each call stops at a gate before its effect, and at another gate before
its answer arrives. A schedule chooses which closed gate opens next. The program runs all schedules
of a scenario from the beginning: a depth-first search that varies the last choice first.

Every schedule must keep two rules. A read that starts after its process has acknowledged a write
returns that write or a newer one. At the end every connected process returns the newest write.
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
    """The choices of one run: first the given ones, then always the first alternative."""

    def __init__(self, given: list[int]) -> None:
        self._given = deque(given)
        self.taken: list[tuple[int, int]] = []  # pairs: the choice, the number of alternatives

    def choose(self, alternatives: int) -> int:
        """Return the number of the chosen alternative."""
        choice = self._given.popleft() if self._given else 0
        self.taken.append((choice, alternatives))
        return choice


class World:
    """The state that all processes of a run share: the gates, the database, Redis."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.gates: list[tuple[str, bool, asyncio.Future[None]]] = []
        self.trace: list[str] = []
        self.free = True  # gates open at once while the processes connect
        self.faults = 0  # the number of faults that may still happen
        self.stays_lost = False  # listeners notice the loss late, and reconnect at the end
        self.answers_at_once = "nobody"  # a process that gets Redis's answers without a gate
        self.row = 0  # the database: the number of writes
        self.generations: dict[str, str] = {}
        self.values: dict[str, tuple[str, bytes]] = {}
        self.locks: dict[str, str] = {}
        self.words = map(str, count())
        self.subscriptions: list[Subscription] = []
        self.processes: list[Process] = []

    async def gate(self, label: str, *, last: bool = False) -> None:
        """Stop until the schedule opens this gate; a `last` gate waits until no other is closed."""
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
        """Apply the effect in Redis, unless a fault comes before or after it."""
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
        """Open one gate after the other until all tasks are done."""
        self.free = False
        await settle()
        while not all(task.done() for task in doing) or self.to_deliver():
            ready = [entry for entry in self.gates if not entry[1]] or self.gates
            assert ready, "deadlock: every task waits"
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
        """Let the listeners check for events, as they do twice a second."""
        for subscription in self.subscriptions:
            subscription.arrived.set()

    def to_deliver(self) -> bool:
        """Return whether a process has unread messages."""
        return any(subscription.messages for subscription in self.subscriptions)

    def stamp(self) -> str:
        """Return the generations of the only namespace."""
        generations = (
            self.generations.setdefault(name, next(self.words)) for name in (EVERYTHING, NAMESPACE)
        )
        return ":".join(generations)


class Shared:
    """The steps of `SharedCache`, for one process."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name

    async def read(self, _namespace: str, key: str) -> Found:
        """Do the same as the script READ."""

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
        """Do the same as the script STORE."""
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
        """Do the same as the script INVALIDATE."""

        def invalidate() -> None:
            for namespace in namespaces:
                self.world.generations[namespace] = next(self.world.words)
            for subscription in self.world.subscriptions:
                subscription.publish(self.name, namespaces)

        await self.world.call(f"invalidate of {self.name}", invalidate)


class Subscription:
    """The steps of a `PubSub`, for one process."""

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
        """Send the command; its effect comes with the confirmation."""
        self._put({"type": "subscribe"})

    def publish(self, origin: str, namespaces: set[str]) -> None:
        """Append a message to the queue; a process ignores its own messages."""
        if origin != self.name:
            self._put({"type": "message", "data": " ".join([origin, *namespaces]).encode()})

    async def get_message(self, *, timeout: float) -> dict[str, Any] | None:  # noqa: ASYNC109
        """Return a message, or None after a fault: nothing arrived for `timeout` seconds."""
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
        """Ping Redis; the model always answers."""

    def _put(self, message: dict[str, Any]) -> None:
        self.messages.append(message)
        self.arrived.set()


class Process:
    """A process with the real cache; `seen` is its newest acknowledged write."""

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
        """Read through the cache; check that the result has every write it acknowledged."""
        if gate:
            await self.world.gate(f"{self.name} begins to read")
        at_least = self.seen
        found = await self.cache.get(NAMESPACE, KEY, self.load, int)
        self.world.trace.append(f"{self.name} reads {found.value} from {found.level}")
        assert found.value >= at_least, f"write {at_least} is acknowledged"

    def check_first_level(self) -> None:
        """Assert that the first level has no value older than the newest acknowledged write."""
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
        """Disconnect from Redis, as after a failed call."""
        self.cache._lose(ConnectionError())
        self.world.wake_listeners()

    async def lose_later(self) -> None:
        """Disconnect from Redis at any step."""
        await self.world.gate(f"{self.name} loses Redis")
        self.lose()

    async def connected(self) -> None:
        """Wait until the process is connected to Redis again."""
        await self.cache._connected.wait()

    async def cancelled_write(self) -> None:
        """Write, and get cancelled at any step."""
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
    """The second writer waits while the first one calls Redis."""
    return [one.write(gate=False), one.write(gate=False), one.read()]


def a_writer_is_cancelled(one: Process) -> Doing:
    """The commit may have happened, so the old value must not stay."""
    return [one.cancelled_write(), one.read()]


def redis_fails_once(one: Process) -> Doing:
    """A call does not reach Redis, or its answer is lost, at any step."""
    one.world.faults = 1
    return [one.write(gate=False), one.read()]


def redis_fails_while_a_reader_loads(one: Process) -> Doing:
    """As `redis_fails_once`, and no level has the value yet."""
    one.world.values.clear()
    return redis_fails_once(one)


def redis_fails_for_another_request(one: Process) -> Doing:
    """The process continues without Redis while an answer of Redis is on its way."""
    one.world.stays_lost = True
    return [one.write(gate=False), one.read(), one.lose_later()]


def another_process_reads(one: Process, other: Process) -> Doing:
    """The message reaches the other process at any step."""
    return [one.write(), other.read()]


def another_process_loads(one: Process, other: Process) -> Doing:
    """The other process loads the old value, slowly."""
    one.world.values.clear()
    return [one.write(), other.read()]


def a_write_while_the_process_connects(one: Process, other: Process) -> Doing:
    """Another process fills Redis while this one connects."""
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
    """Return when every task waits at a gate or for another task."""
    ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]
    await real_sleep(0)
    while ready:
        await real_sleep(0)


async def run(scenario: str, schedule: Schedule) -> None:
    """Run one schedule; raise `AssertionError` with its steps if it breaks a rule."""
    world = World(schedule)

    async def sleep(seconds: float) -> None:
        # Without this, a process that polls would run for ever before any other step.
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
    """Run all schedules of a scenario; return their number."""
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
