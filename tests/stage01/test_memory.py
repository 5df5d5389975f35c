"""Requirement 1.7: the data is kept in memory and nowhere else."""

import pytest

from course.harness.driver import Api
from course.harness.learners import LearnersServer
from course.harness.server import LaunchedServer, Server

CLIENTS = 8  # enough clients to reach each of several processes


@pytest.mark.requirement("1.7")
@pytest.mark.contract("T10")
@pytest.mark.timeout(90)  # two starts; the default for graded tests is shorter
@pytest.mark.until(stage=1, successor="2.3")
def test_a_restart_deletes_all_todos_and_leaves_no_data_file(
    restartable: LaunchedServer,
) -> None:
    # The directory of a learner's solution contains its source; ours is empty at the start.
    is_ours = not isinstance(restartable, LearnersServer)
    before = set() if is_ours else set(restartable.data_dir.iterdir())
    with Api(restartable) as api:
        api.create_todo()
        restartable.restart()
        assert api.list_todos() == []
    # A learner's server may write other files there, such as a log; they are not data.
    assert not is_ours or set(restartable.data_dir.iterdir()) == before


@pytest.mark.requirement("1.7")
@pytest.mark.contract("T10", "T6")
@pytest.mark.until(stage=1, successor="2.3")
def test_all_clients_see_the_same_todos(server: Server) -> None:
    """Each of several processes would have its own memory."""
    with Api(server) as api:
        todo = api.create_todo()
    for _ in range(CLIENTS):
        with Api(server) as another:
            answer = another.request("GET", f"/todos/{todo['id']}")
            assert answer.status_code == 200
            assert answer.json() == todo
