"""What takes long begins with the first test here: servers that are migrated, or that refuse."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.harness.early import needs
from tests.harness.plugin import Launch
from tests.harness.server import LaunchedServer
from tests.harness.waiting import in_parallel
from tests.stage02.unusable import REASONS, Unusable, try_to_use

HERE = Path(__file__).parent
# Fixtures that begin early, and what a test that needs one says. The first is there first.
EARLY = {"production": "private_server", "unusable": "unusable"}
ALONE = "alone"  # the fixture of a test that measures time

Production = Callable[[], LaunchedServer]
Evidence = Callable[[], Unusable]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put a test of this folder first of all, and those that have to wait longest at the end."""
    waits = {item for item in items if any(needs(item, wanted) for wanted in EARLY.values())}
    here = [item for item in items if item.path.parent == HERE and item not in waits]
    items.sort(
        key=lambda item: (
            2 * needs(item, ALONE) + needs(item, EARLY["unusable"]) - (item in here[:1])
        )
    )


@pytest.fixture(scope="session")
def background() -> Iterator[ThreadPoolExecutor]:
    """A thread for what takes long: one, so that the tests have a processor to themselves."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture(scope="session")
def production(
    launch_for_session: Launch, stage_directory: Path, background: ThreadPoolExecutor
) -> Production:
    """A running server as in production: Alembic has migrated its database by command.

    From two terminals at once, of which one has to wait for the other.
    """
    server = launch_for_session(start=False, ENVIRONMENT="production")
    command = ("alembic", "upgrade", "head")

    def migrate_and_start() -> LaunchedServer:
        migrated = in_parallel(2, lambda _: server.run(*command, cwd=stage_directory))
        assert [done.returncode for done in migrated.results] == [0, 0], migrated
        server.start()
        return server

    return background.submit(migrate_and_start).result


@pytest.fixture(scope="session")
def unusable(launch_for_session: Launch, background: ThreadPoolExecutor) -> Evidence:
    """What became of the servers whose databases cannot be used."""
    spoiled = {spoil: launch_for_session(start=False) for spoil in REASONS}
    return background.submit(try_to_use, spoiled, launch_for_session(start=False)).result


@pytest.fixture
def alone(background: ThreadPoolExecutor) -> None:
    """Begin when nothing happens beside the test any more."""
    background.submit(int).result()  # one thread: what was begun before it is done


@pytest.fixture(scope="session", autouse=True)
def _begin_early(request: pytest.FixtureRequest) -> None:
    """Begin what takes long before the first test here, if it is needed."""
    if request.config.getoption("base_url"):
        return
    for fixture, wanted in EARLY.items():
        if any(needs(item, wanted) for item in request.session.items):
            request.getfixturevalue(fixture)
