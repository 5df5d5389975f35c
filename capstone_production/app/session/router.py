"""The sign-in of our own pages. Other clients use `/auth/token`.

The refresh token is in a cookie that no script can read, and that the browser sends only to
`/auth`. The page has only the access token, in memory. So storage that an injected script could
read has no token.

A foreign page cannot use the cookie (CSRF): the browser sends it only with requests from our own
site (`SameSite=Strict`). Each request also needs the header `X-Attempt`, which a page of another
origin may not send: CORS does not allow it.
"""

from typing import Annotated

from fastapi import APIRouter, Cookie, Depends, Header, Request, Response, status
from fastapi.security import OAuth2PasswordRequestForm

from app.auth.router import MAX_BODY_SIZE, AuthServiceDep
from app.auth.schemas import PageToken, Token
from app.auth.service import RefreshTokenInvalid

COOKIE = "session"

# A random name. A page that lost the answer repeats its request with the same name.
Attempt = Annotated[str, Header(alias="X-Attempt", pattern=r"^[A-Za-z0-9_-]{16,64}$")]
RefreshCookie = Annotated[str | None, Cookie(alias=COOKIE, max_length=512)]

# All three have one URL: a cookie without a path is for the folder of the URL that set it, `/auth`,
# also when a proxy adds a prefix.
router = APIRouter(prefix="/auth/session", include_in_schema=False, max_body_size=MAX_BODY_SIZE)


@router.post("", response_model=PageToken)
async def start_session(
    form: Annotated[OAuth2PasswordRequestForm, Depends()],
    attempt: Attempt,  # noqa: ARG001 - the guard against foreign pages
    service: AuthServiceDep,
    request: Request,
    response: Response,
    earlier: RefreshCookie = None,
) -> Token:
    """Sign in. An earlier session of this browser ends."""
    token = await service.sign_in(form.username, form.password)
    if earlier:
        await service.log_out(earlier)
    set_cookie(response, request, token.refresh_token, token.refresh_expires_in)
    return token


@router.put("", response_model=PageToken)
async def renew_session(
    attempt: Attempt,
    service: AuthServiceDep,
    request: Request,
    response: Response,
    refresh_token: RefreshCookie = None,
) -> Token:
    """Return the next access token. A repeated attempt gets the same next cookie."""
    if not refresh_token:
        raise RefreshTokenInvalid
    token = await service.renew(refresh_token, attempt)
    set_cookie(response, request, token.refresh_token, token.refresh_expires_in)
    return token


@router.delete("", status_code=status.HTTP_204_NO_CONTENT)
async def end_session(
    attempt: Attempt,  # noqa: ARG001
    service: AuthServiceDep,
    request: Request,
    response: Response,
    refresh_token: RefreshCookie = None,
) -> None:
    """Sign out: revoke the refresh tokens of this sign-in, as `/auth/logout` does."""
    if refresh_token:
        await service.log_out(refresh_token)
    set_cookie(response, request, "", 0)


def set_cookie(response: Response, request: Request, refresh_token: str, max_age: int) -> None:
    """Give the browser the refresh token for `max_age` seconds, or remove it when that is 0.

    Over https the browser never sends it without encryption.
    """
    response.headers["Cache-Control"] = "no-store"
    response.set_cookie(
        COOKIE,
        refresh_token,
        max_age=max_age,
        path=None,
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
