"""Reading an OpenAPI document whose parts may be references."""

from typing import Any

Json = dict[str, Any]


def resolved(description: Json, part: Json) -> Json:
    """Return a part of the document; a `$ref` is replaced by its target."""
    while "$ref" in part:
        found: Any = description
        for step in part["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        part = found
    return part
