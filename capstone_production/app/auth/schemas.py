"""The schemas of users and tokens in requests and responses."""

import unicodedata
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from app.auth.roles import Role
from app.params import NO_NUL, RequestBody

PASSWORD_MIN_CHARACTERS = 8
PASSWORD_MAX_BYTES = 72  # bcrypt uses no more


def is_unicode(text: str) -> bool:
    """Return whether UTF-8 can encode the text. JSON can contain half a surrogate pair."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def normalize(password: str) -> str:
    """Return the password in the form NFC (RFC 8265, section 4.2.1).

    Some keyboards type `é` as one character, others as `e` and an accent. NFC makes them equal.
    """
    return unicodedata.normalize("NFC", password)


def check_password(password: SecretStr) -> SecretStr:
    """Return the normalized password; raises `ValueError` if bcrypt cannot hash all of it."""
    text = normalize(password.get_secret_value())
    if len(text) < PASSWORD_MIN_CHARACTERS:
        raise ValueError(f"Password should have at least {PASSWORD_MIN_CHARACTERS} characters")
    if not is_unicode(text):
        raise ValueError("Password should be valid Unicode")
    if len(text.encode()) > PASSWORD_MAX_BYTES:
        raise ValueError(f"Password should have at most {PASSWORD_MAX_BYTES} bytes in UTF-8")
    if "\0" in text:
        raise ValueError("Password should not contain a NUL character")
    return SecretStr(text)


Username = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{3,50}$"), Field(examples=["ada"])
]
# A SecretStr shows as asterisks wherever it is printed or logged by mistake.
Password = Annotated[
    SecretStr,
    AfterValidator(check_password),
    Field(
        examples=["correct horse"],
        # /docs shows this text, as JSON Schema cannot state a number of bytes or NFC.
        json_schema_extra={
            "minLength": PASSWORD_MIN_CHARACTERS,
            "maxLength": PASSWORD_MAX_BYTES,
            "pattern": NO_NUL,
        },
    ),
]


class UserCreate(RequestBody):
    """A new user."""

    username: Username
    password: Password


class UserRead(BaseModel):
    """A user in answers and in the cache: never with the password or its hash."""

    model_config = ConfigDict(frozen=True)

    id: int
    username: str
    role: Role
    created_at: datetime


class PageToken(BaseModel):
    """The answer to a page's sign-in: its refresh token is in a cookie."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - not a password
    expires_in: int  # seconds


class Token(PageToken):
    """The answer to a sign-in, in the form that OAuth2 (RFC 6749, section 5.1) prescribes."""

    refresh_token: str
    refresh_expires_in: int  # seconds


class RefreshTokenIn(RequestBody):
    """A refresh token from a client: printable ASCII (RFC 6749, appendix A.17)."""

    refresh_token: Annotated[
        str,
        StringConstraints(pattern=r"^[\x20-\x7E]{1,512}$"),
        Field(repr=False, examples=["the refresh_token of a sign-in"]),
    ]
