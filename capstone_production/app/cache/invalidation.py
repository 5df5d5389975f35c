"""Automatic invalidation: when its transaction ends, a session invalidates all that it changed.

A cached model names its namespace with `cached_in`. A bulk statement (`update(Todo)…`) loads no
objects, so it names the namespace with `execution_options(cached_in=…)`. A statement without that
option invalidates everything, which is slow but correct.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import ORMExecuteState, Session, SessionTransaction, UOWTransaction

from app.cache.cache import Cache
from app.cache.levels import EVERYTHING

CHANGED, UNPUBLISHED = "changed", "unpublished"  # in the session's `info`


@runtime_checkable
class IsCached(Protocol):
    """A row with values in the cache."""

    def cached_in(self) -> str:
        """Return the namespace."""


@contextmanager
def watched(cache: Cache) -> Iterator[None]:
    """Make every session of this process invalidate the namespaces of its changes."""

    def note_objects(session: Session, _context: UOWTransaction) -> None:
        for row in (*session.new, *session.dirty, *session.deleted):
            if isinstance(row, IsCached):
                note(session, row.cached_in())

    def note_statement(state: ORMExecuteState) -> None:
        if state.is_select or state.bind_mapper is None:
            return
        if issubclass(state.bind_mapper.class_, IsCached):
            note(state.session, state.execution_options.get("cached_in", EVERYTHING))

    def forget_here(session: Session, transaction: SessionTransaction) -> None:
        # This also runs after a rollback. It is harmless, so no code has to distinguish commit and
        # rollback.
        if transaction.parent is None:
            changed = session.info.pop(CHANGED, set())
            cache.invalidate_here(changed)
            session.info.setdefault(UNPUBLISHED, set()).update(changed)

    listeners: dict[str, Callable[..., None]] = {
        "after_flush": note_objects,
        "do_orm_execute": note_statement,
        "after_transaction_end": forget_here,
    }
    for name, listener in listeners.items():
        event.listen(Session, name, listener)
    try:
        yield
    finally:
        for name, listener in listeners.items():
            event.remove(Session, name, listener)


def note(session: Session, namespace: str) -> None:
    """Remember the namespace, to invalidate it when the transaction ends."""
    session.info.setdefault(CHANGED, set()).add(namespace)


async def publish_invalidations(session: AsyncSession, cache: Cache) -> None:
    """Invalidate, in every process, the namespaces that the session's transactions changed."""
    await cache.invalidate_everywhere(session.info.pop(UNPUBLISHED, set()))
