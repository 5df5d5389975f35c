"""Input that every feature takes in the same form: ids, pages of a list, text, bodies, files."""

from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, model_validator

MAX_FILE_SIZE = 5 * 1024 * 1024  # bytes of an uploaded file
FORM_OVERHEAD = 16 * 1024  # bytes that a form adds to the file in it
MAX_LONG_TEXT = 1024 * 1024  # bytes of a body with a long text in it
MAX_FIELDS = 20  # in a body: more than any of ours has
MAX_INTEGER = 2**63 - 1  # 64 bits: no id is larger
NO_NUL = r"^[^\x00]*$"  # many programs take a NUL character for the end of a text
NOT_BLANK = r"^[^\x00]*[^\s\x00][^\x00]*$"  # the same, with more than white space

RowId = Annotated[int, Path(ge=1, le=MAX_INTEGER)]
Limit = Annotated[int, Query(ge=1, le=100, description="How many to return at most")]
Offset = Annotated[int, Query(ge=0, le=MAX_INTEGER, description="How many to skip")]


class RequestBody(BaseModel):
    """The base of every model that comes in as a JSON body."""

    # A field we do not know is more likely a typing error than a wish to be ignored.
    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def check_number_of_fields(cls, fields: Any) -> Any:
        """Return the fields; raises `ValueError` for a flood: each would become an error."""
        if isinstance(fields, dict) and len(fields) > MAX_FIELDS:
            raise ValueError(f"Input should have at most {MAX_FIELDS} fields")
        return fields
