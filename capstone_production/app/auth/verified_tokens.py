"""Access tokens that were verified a moment ago: a client sends the same one with each request."""

from datetime import UTC, datetime

from cachetools import TTLCache

from app.auth.security import AccessToken, InvalidToken, read_access_token

MAX_TOKENS = 10_000  # each of MAX_TOKEN_LENGTH characters at most: 5 MB
BELIEVED_FOR = 60  # seconds, until the signature is looked at again


class VerifiedTokens:
    """The contents of good tokens. One that was not signed by us never gets in."""

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._tokens: TTLCache[str, AccessToken] = TTLCache(MAX_TOKENS, BELIEVED_FOR)

    def read(self, token: str) -> AccessToken:
        """Return whom the token was made for, and until when; raises `InvalidToken`."""
        try:
            access = self._tokens[token]
        except KeyError:
            access = self._tokens[token] = read_access_token(token, secret=self._secret)
        if access.expires_at <= datetime.now(UTC):
            raise InvalidToken
        return access
