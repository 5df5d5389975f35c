"""Posts as JSON for all readers: from the cache, or else from the database."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request
from pydantic import TypeAdapter
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.blog.models import CACHED_IN, Post
from app.blog.schemas import PostRead
from app.blog.service import BlogService
from app.cache.cache import Cache, Cached
from app.cache.http import Body, as_body

ONE = TypeAdapter(PostRead)
MANY = TypeAdapter(list[PostRead])


def as_json(post: Post) -> bytes:
    """Return a post as JSON."""
    return ONE.dump_json(ONE.validate_python(post, from_attributes=True))


class CachedPosts:
    """The public reads of a `BlogService`."""

    def __init__(self, cache: Cache, engine: AsyncEngine) -> None:
        self._cache = cache
        self._engine = engine

    async def list(self, *, author: str | None, limit: int, offset: int) -> Cached[Body]:
        """Return the result of `BlogService.list_posts`, as JSON."""

        async def load(service: BlogService) -> bytes:
            posts = await service.list_posts(
                author=author, include_deleted=False, limit=limit, offset=offset
            )
            return MANY.dump_json(MANY.validate_python(posts, from_attributes=True))

        return await self._get(f"list:{limit}:{offset}:{author!r}", load)

    async def get(self, post_id: int) -> Cached[Body]:
        """Return one post, as JSON; raises `PostNotFound`."""

        async def load(service: BlogService) -> bytes:
            return as_json(await service.get_post(post_id))

        return await self._get(f"one:{post_id}", load)

    async def _get(self, key: str, load: Callable[[BlogService], Awaitable[bytes]]) -> Cached[Body]:
        async def load_in_session() -> bytes:
            async with AsyncSession(self._engine) as session:
                return await load(BlogService(session))

        return await self._cache.get(CACHED_IN, key, load_in_session, as_body)


async def get_cached_posts(request: Request) -> CachedPosts:
    """Return the posts."""
    return CachedPosts(request.state.cache, request.state.engine)


CachedPostsDep = Annotated[CachedPosts, Depends(get_cached_posts)]
