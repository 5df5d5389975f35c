"""Types of input that all features share: ids, pages of a list, text, bodies."""

from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, model_validator

MAX_FIELDS = 20  # in a body; our models have fewer
MAX_INTEGER = 2**63 - 1  # 64 bits: no id is larger
NO_NUL = r"^[^\x00]*$"  # many programs read a NUL character as the end of a text
NOT_BLANK = r"^[^\x00]*[^\s\x00][^\x00]*$"  # as above, and not only white space

RowId = Annotated[int, Path(ge=1, le=MAX_INTEGER)]
Limit = Annotated[int, Query(ge=1, le=100, description="How many to return at most")]
Offset = Annotated[int, Query(ge=0, le=MAX_INTEGER, description="How many to skip")]


class RequestBody(BaseModel):
    """The base of every model that comes in as a JSON body."""

    # An unknown field is probably a typing error, so it is refused.
    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def check_number_of_fields(cls, fields: Any) -> Any:
        """Return the fields; raises `ValueError` for too many, as each one could add an error."""
        if isinstance(fields, dict) and len(fields) > MAX_FIELDS:
            raise ValueError(f"Input should have at most {MAX_FIELDS} fields")
        return fields
