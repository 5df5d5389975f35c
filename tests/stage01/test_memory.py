"""Row 1.7: the data lives in memory and nowhere else."""

import pytest

from course.harness.driver import Api
from course.harness.learners import LearnersServer
from course.harness.server import LaunchedServer, Server

CLIENTS = 8  # enough for each of several processes to get one


@pytest.mark.requirement("1.7")
@pytest.mark.contract("T10")
@pytest.mark.timeout(90)  # two starts; what grades has less patience otherwise
@pytest.mark.until(stage=1, successor="2.3")
def test_todos_are_gone_after_a_restart_and_no_file_was_written(
    restartable: LaunchedServer,
) -> None:
    # A learner's solution has its source there. Ours began in an empty directory.
    is_ours = not isinstance(restartable, LearnersServer)
    before = set() if is_ours else set(restartable.data_dir.iterdir())
    with Api(restartable) as api:
        api.create_todo()
        restartable.restart()
        assert api.list_todos() == []
    # Other files that a learner's server writes there, such as a log, are no data.
    assert not is_ours or set(restartable.data_dir.iterdir()) == before


@pytest.mark.requirement("1.7")
@pytest.mark.contract("T10", "T6")
@pytest.mark.until(stage=1, successor="2.3")
def test_every_client_sees_one_memory(server: Server) -> None:
    """Several processes would each have a memory of their own."""
    with Api(server) as api:
        todo = api.create_todo()
    for _ in range(CLIENTS):
        with Api(server) as another:
            answer = another.request("GET", f"/todos/{todo['id']}")
            assert answer.status_code == 200
            assert answer.json() == todo
