"""The wrong variants of the Node server fit it: each is one mistake in a server that is right.

They were chosen from the contract alone, by somebody who had not read the tests. `node.toml` has
the shorter list, `node_more.toml` further ones.
"""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from tools.requirements import IDS

HERE = Path(__file__).parent
SERVER = HERE / "solutions" / "node"
LISTS = sorted((HERE / "wrong").glob("*.toml"))


def variants(file: Path) -> list[dict[str, Any]]:
    """Return the variants that a list holds."""
    found: list[dict[str, Any]] = tomllib.loads(file.read_text(encoding="utf-8"))["wrong"]
    return found


@pytest.mark.parametrize("file", LISTS, ids=lambda file: file.stem)
def test_each_variant_replaces_one_place_of_the_server(file: Path) -> None:
    for variant in variants(file):
        source = (SERVER / variant["file"]).read_text(encoding="utf-8")
        assert source.count(variant["old"]) == 1, variant["id"]
        assert variant["old"] != variant["new"], variant["id"]


def test_each_names_a_row_its_stage_and_why() -> None:
    everything = [variant for file in LISTS for variant in variants(file)]
    ids = [variant["id"] for variant in everything]
    assert len(set(ids)) == len(ids)
    for variant in everything:
        assert variant["row"] in IDS, variant["id"]
        assert 1 <= variant["stage"] <= 8, variant["id"]
        assert variant["why"].endswith("."), variant["id"]
