"""What takes long begins with the first test here and is looked at last: servers that refuse."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.harness.early import needs
from tests.harness.plugin import Launch
from tests.stage02.unusable import REASONS, Unusable, try_to_use

NEEDS_UNUSABLE = "unusable"

Evidence = Callable[[], Unusable]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests that have to wait at the end."""
    items.sort(key=lambda item: needs(item, NEEDS_UNUSABLE))


@pytest.fixture(scope="session")
def unusable(launch_for_session: Launch) -> Iterator[Evidence]:
    """What became of the servers whose databases cannot be used; it begins now."""
    spoiled = {spoil: launch_for_session(start=False) for spoil in REASONS}
    locked = launch_for_session(start=False)
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(try_to_use, spoiled, locked).result


@pytest.fixture(scope="session", autouse=True)
def _begin_early(request: pytest.FixtureRequest) -> None:
    """Begin what takes long before the first test here, if it is needed."""
    if request.config.getoption("base_url"):
        return
    if any(needs(item, NEEDS_UNUSABLE) for item in request.session.items):
        request.getfixturevalue(NEEDS_UNUSABLE)
