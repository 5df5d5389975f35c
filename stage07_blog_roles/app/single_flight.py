"""One call for all who ask for the same thing while the call is under way."""

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
        """Return or raise what the call for this key does; `call` starts one if there is none."""
        task = self._calls.get(key)
        if task is None:
            task = self._calls[key] = asyncio.create_task(call())
            task.add_done_callback(lambda done: self._forget(key, done))
        # Shielded: a caller who gives up must not end the call for the others.
        return await asyncio.shield(task)

    def _forget(self, key: Key, done: asyncio.Task[Value]) -> None:
        del self._calls[key]
        if not done.cancelled():
            done.exception()  # looked at, also when every caller has given up
