"""Makes and reads JSON Web Tokens (RFC 7519) with only the standard library.

Tests must not check the app with the library that the app itself uses.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from typing import Any

HASHES = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}


def encode(data: bytes) -> str:
    """Return Base64 for addresses, without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """Return the bytes that `encode` got."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def to_json(value: Any) -> bytes:
    """Return JSON without spaces, as servers write it; bytes pass through as they are."""
    if isinstance(value, bytes):
        return value
    return json.dumps(value, separators=(",", ":")).encode()


def signature(signing_input: str, secret: str, algorithm: str) -> str:
    """Return the HMAC of the first two parts of a token as its third."""
    digest = hmac.new(secret.encode(), signing_input.encode(), HASHES[algorithm])
    return encode(digest.digest())


def forge(claims: Any, secret: str, *, algorithm: str = "HS256", header: Any = None) -> str:
    """Return a token with this payload, signed, whatever its header says."""
    head = {"alg": algorithm, "typ": "JWT"} if header is None else header
    signing_input = f"{encode(to_json(head))}.{encode(to_json(claims))}"
    return f"{signing_input}.{signature(signing_input, secret, algorithm)}"


def good_claims(user_id: int) -> dict[str, Any]:
    """Return claims like those of a new token of the server."""
    now = int(time.time())
    return {"sub": str(user_id), "iat": now, "exp": now + 600, "jti": secrets.token_hex(8)}


def header_of(token: str) -> dict[str, Any]:
    """Return the header of a token, unverified."""
    header: dict[str, Any] = json.loads(decode(token.split(".")[0]))
    return header


def claims_of(token: str) -> dict[str, Any]:
    """Return the claims of a token, unverified."""
    claims: dict[str, Any] = json.loads(decode(token.split(".")[1]))
    return claims


def is_signed_with(token: str, secret: str) -> bool:
    """Return whether a token is signed with HS256 and this secret."""
    signing_input, _, signed = token.rpartition(".")
    digest = hmac.new(secret.encode(), signing_input.encode(), hashlib.sha256).digest()
    return hmac.compare_digest(digest, decode(signed))
