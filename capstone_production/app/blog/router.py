"""The operations on posts and comments."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response, status
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.auth.dependencies import CurrentUser, OptionalCachedUser, require_role
from app.auth.models import User
from app.auth.roles import Role
from app.blog.cached import CachedPostsDep
from app.blog.models import Comment, Post
from app.blog.schemas import CommentRead, CommentWrite, PostCreate, PostPatch, PostRead
from app.blog.service import Blog
from app.cache.http import answer
from app.database import SessionDep
from app.parameters import Limit, Offset, RowId
from app.quotas import Quotas, get_quotas

CACHE_CONTROL = "no-cache"  # anybody may keep it, and must ask whether it is still so

router = APIRouter(tags=["blog"])

Author = Annotated[User, Depends(require_role(Role.AUTHOR))]
Admin = Annotated[User, Depends(require_role(Role.ADMIN))]
AuthorFilter = Annotated[str, Query(max_length=50, description="A user's id or name")]


async def get_blog(session: SessionDep) -> Blog:
    """Return the blog, which works in the request's session."""
    return Blog(session)


async def may_include_deleted(
    user: OptionalCachedUser, request: Request, include_deleted: bool = False
) -> bool:
    """Return whether deleted things are wanted; answers 403 to all but administrators."""
    if not include_deleted:
        return False
    role = None
    if user is not None:
        async with AsyncSession(request.state.engine) as session:  # as it is now: not cached
            role = await session.scalar(select(User.role).where(User.id == user.id))
    if role != Role.ADMIN:
        raise HTTPException(403, "Only administrators see what was deleted")
    return True


BlogDep = Annotated[Blog, Depends(get_blog)]
QuotasDep = Annotated[Quotas, Depends(get_quotas)]
IncludeDeleted = Annotated[bool, Depends(may_include_deleted)]


@router.get("/posts", response_model=list[PostRead])
async def list_posts(
    blog: BlogDep,
    posts: CachedPostsDep,
    include_deleted: IncludeDeleted,
    request: Request,
    author: AuthorFilter | None = None,
    limit: Limit = 20,
    offset: Offset = 0,
) -> Sequence[Post] | Response:
    """Return posts, newest first."""
    if include_deleted:
        return await blog.list_posts(
            author=author, include_deleted=True, limit=limit, offset=offset
        )
    cached = await posts.list(author=author, limit=limit, offset=offset)
    return answer(request, cached, CACHE_CONTROL)


@router.post("/posts", response_model=PostRead, status_code=status.HTTP_201_CREATED)
async def create_post(
    post_in: PostCreate,
    author: Author,
    session: SessionDep,
    quotas: QuotasDep,
    blog: BlogDep,
    response: Response,
) -> Post:
    """Publish a post."""
    await quotas.take(session, Post.author_id, author.id)
    post = await blog.create_post(author, post_in.model_dump())
    response.headers["Location"] = f"/posts/{post.id}"
    return post


@router.get("/posts/{post_id}", response_model=PostRead)
async def read_post(
    post_id: RowId,
    blog: BlogDep,
    posts: CachedPostsDep,
    include_deleted: IncludeDeleted,
    request: Request,
) -> Post | Response:
    """Return one post."""
    if include_deleted:
        return await blog.get_post(post_id, include_deleted=True)
    return answer(request, await posts.get(post_id), CACHE_CONTROL)


@router.patch("/posts/{post_id}", response_model=PostRead)
async def update_post(post_id: RowId, post_in: PostPatch, author: Author, blog: BlogDep) -> Post:
    """Change one's own post; administrators: anyone's."""
    return await blog.update_post(post_id, author, post_in.model_dump())


@router.delete("/posts/{post_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_post(post_id: RowId, author: Author, blog: BlogDep) -> None:
    """Delete one's own post; administrators: anyone's. It can be restored."""
    await blog.delete_post(post_id, author)


@router.post("/posts/{post_id}/restore", response_model=PostRead)
async def restore_post(post_id: RowId, _admin: Admin, blog: BlogDep) -> Post:
    """Bring a deleted post back."""
    return await blog.restore_post(post_id)


@router.get("/posts/{post_id}/comments", response_model=list[CommentRead])
async def list_comments(
    post_id: RowId, blog: BlogDep, limit: Limit = 20, offset: Offset = 0
) -> Sequence[Comment]:
    """Return the comments on a post, oldest first."""
    return await blog.list_comments(post_id, limit=limit, offset=offset)


@router.post(
    "/posts/{post_id}/comments", response_model=CommentRead, status_code=status.HTTP_201_CREATED
)
async def create_comment(
    post_id: RowId,
    comment_in: CommentWrite,
    user: CurrentUser,
    session: SessionDep,
    quotas: QuotasDep,
    blog: BlogDep,
    response: Response,
) -> Comment:
    """Comment on a post."""
    await quotas.take(session, Comment.author_id, user.id)
    comment = await blog.create_comment(post_id, user, comment_in.body)
    response.headers["Location"] = f"/posts/{post_id}/comments"
    return comment


@router.patch("/comments/{comment_id}", response_model=CommentRead)
async def update_comment(
    comment_id: RowId, comment_in: CommentWrite, user: CurrentUser, blog: BlogDep
) -> Comment:
    """Change one's own comment; administrators: anyone's."""
    return await blog.update_comment(comment_id, user, comment_in.body)


@router.delete("/comments/{comment_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_comment(comment_id: RowId, user: CurrentUser, blog: BlogDep) -> None:
    """Delete one's own comment; administrators: anyone's. It can be restored."""
    await blog.delete_comment(comment_id, user)


@router.post("/comments/{comment_id}/restore", response_model=CommentRead)
async def restore_comment(comment_id: RowId, _admin: Admin, blog: BlogDep) -> Comment:
    """Bring a deleted comment back."""
    return await blog.restore_comment(comment_id)
