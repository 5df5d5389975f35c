"""Reading an OpenAPI document: what a part of it says, be it written there or referred to."""

from typing import Any

Json = dict[str, Any]


def resolved(description: Json, part: Json) -> Json:
    """Return a part of the document, or what its `$ref` leads to."""
    while "$ref" in part:
        found: Any = description
        for step in part["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        part = found
    return part
