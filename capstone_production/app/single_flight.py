"""One call for all callers that need the same value at the same time."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class SingleFlight(Generic[Key, Value]):
    """The calls that are under way, by key. The first caller starts one; later ones wait for it."""

    def __init__(self) -> None:
        self._calls: dict[Key, asyncio.Task[Value]] = {}

    async def run(self, key: Key, call: Callable[[], Coroutine[Any, Any, Value]]) -> Value:
        """Return the result of this key's running call, or of a new `call()`; raises its error."""
        task = self._calls.get(key)
        if task is None:
            task = self._calls[key] = asyncio.create_task(call())
            task.add_done_callback(lambda done: self._forget(key, done))
        # Shielded: a cancelled caller must not cancel the call for the others.
        return await asyncio.shield(task)

    def _forget(self, key: Key, done: asyncio.Task[Value]) -> None:
        del self._calls[key]
        if not done.cancelled():
            done.exception()  # read, so asyncio does not log it when all callers are gone
