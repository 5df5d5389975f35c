"""What every feature takes in the same form: ids, pages of a list, text, files."""

from typing import Annotated

from fastapi import Path, Query

MAX_FILE_SIZE = 5 * 1024 * 1024  # bytes of an uploaded file
FORM_OVERHEAD = 16 * 1024  # bytes that a form adds to the file in it
MAX_INTEGER = 2**63 - 1  # what a database can hold
NO_NUL = r"^[^\x00]*$"  # not every database can hold a NUL character in text

RowId = Annotated[int, Path(ge=1, le=MAX_INTEGER)]
Limit = Annotated[int, Query(ge=1, le=100, description="How many to return at most")]
Offset = Annotated[int, Query(ge=0, le=MAX_INTEGER, description="How many to skip")]
