"""An unusable database: the start fails with a reason; a running server answers 503.

All cases run at the same time (`unusable.py`).
"""

import pytest

from course.harness.plugin import Launch
from tests.stage02.unusable import (
    GARBAGE,
    IMPATIENT,
    REASONS,
    SPOILED,
    Spoil,
    Unusable,
    garbage_instead,
    newer_than_the_code,
    not_migrated_in_production,
    try_to_use,
)

pytestmark = pytest.mark.craft

SOONER_THAN_BY_DEFAULT = 4.5  # seconds; with the shorter setting a writer gives up sooner
plain = pytest.mark.deployment("plain")


@pytest.fixture(scope="module")
def unusable(launch_for_module: Launch) -> Unusable:
    """Return the results of the servers whose databases cannot be used."""
    spoiled = {spoil: launch_for_module(start=False) for spoil in SPOILED}
    locked = launch_for_module(start=False, **IMPATIENT)
    return try_to_use(spoiled, locked)


@pytest.mark.requirement("2.1", "2.5")
@pytest.mark.own_stage
@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(spoil, marks=plain if spoil is garbage_instead else (), id=spoil.__name__)
        for spoil in REASONS
    ],
)
def test_a_server_with_an_unusable_database_exits_and_says_why(
    unusable: Unusable, spoil: Spoil
) -> None:
    server, exit_code = unusable.refused[spoil]
    assert exit_code not in (0, None)
    assert REASONS[spoil] in server.log_text()


@pytest.mark.requirement("2.1")
@plain
def test_a_file_that_is_not_a_database_stays_unchanged(unusable: Unusable) -> None:
    server, _ = unusable.refused[garbage_instead]
    assert server.database_file.read_bytes() == GARBAGE


@pytest.mark.requirement("2.5")
def test_a_refused_database_gets_no_tables(unusable: Unusable) -> None:
    server, _ = unusable.refused[newer_than_the_code]
    assert set(server.database.tables()) <= {"alembic_version"}


@pytest.mark.requirement("2.5")
def test_only_the_command_migrates_in_production(unusable: Unusable) -> None:
    server, _ = unusable.refused[not_migrated_in_production]
    tables = [] if server.database.is_untouched() else server.database.tables()
    assert set(tables) <= {"alembic_version"}


@pytest.mark.requirement("2.3")
def test_a_locked_database_gets_503_until_the_lock_ends(
    unusable: Unusable,
) -> None:
    locked_out = unusable.locked_out
    assert [answer.status_code for answer in locked_out.answers] == [503] * 4
    for answer in locked_out.answers:
        assert isinstance(answer.json()["detail"], str)
        assert int(answer.headers["retry-after"]) > 0
    assert locked_out.waited < SOONER_THAN_BY_DEFAULT
    stored = "SELECT count(*) FROM todos WHERE title = 'never stored'"
    assert unusable.locked.database.query(stored) == [(0,)]
