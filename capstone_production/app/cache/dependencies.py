"""The cache, for the handlers."""

from typing import Annotated

from fastapi import Depends, Request

from app.cache.cache import Cache


async def get_cache(request: Request) -> Cache:
    """Return the cache that was made when the server started."""
    cache: Cache = request.state.cache
    return cache


CacheDep = Annotated[Cache, Depends(get_cache)]
