"""Row 1.7: the data lives in memory and nowhere else."""

import pytest

from tests.harness.driver import Api
from tests.harness.plugin import Launch


@pytest.mark.until(stage=1, successor="2.3")
def test_todos_are_gone_after_a_restart_and_no_file_was_written(launch: Launch) -> None:
    server = launch()
    with Api(server) as api:
        api.create_todo()
        server.restart()
        assert api.list_todos() == []
    assert list(server.data_dir.iterdir()) == []
