"""The operations on posts and comments: each reads the input, calls the service and answers."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response, status

from app.auth.models import User
from app.auth.roles import Role
from app.blog.cached import CachedPostsDep, as_json
from app.blog.models import Comment, Post
from app.blog.schemas import CommentRead, CommentWrite, PostCreate, PostPatch, PostRead
from app.blog.service import BlogService, location
from app.cache.http import IfMatchDep, answer, answer_body, as_body
from app.dependencies import CurrentUser, OptionalCachedUser, SessionDep, require_role
from app.exceptions import errors
from app.idempotency import IdempotencyDep
from app.params import MAX_LONG_TEXT, Limit, Offset, RowId
from app.quotas import QuotasDep
from app.routing import GuardFirstRoute

CACHE_CONTROL = "no-cache"  # any cache may keep the answer, but must revalidate it each time

router = APIRouter(tags=["blog"], route_class=GuardFirstRoute)

Author = Annotated[User, Depends(require_role(Role.AUTHOR))]
Admin = Annotated[User, Depends(require_role(Role.ADMIN))]
AuthorFilter = Annotated[str, Query(max_length=50, description="A user's id or name")]


async def get_blog_service(session: SessionDep) -> BlogService:
    """Return a service that works in the request's session."""
    return BlogService(session)


BlogServiceDep = Annotated[BlogService, Depends(get_blog_service)]


async def may_include_deleted(
    user: OptionalCachedUser, service: BlogServiceDep, include_deleted: bool = False
) -> bool:
    """Return whether to include deleted posts; only administrators may (otherwise 401 or 403)."""
    if include_deleted:
        await service.check_may_see_deleted(user)
    return include_deleted


IncludeDeleted = Annotated[bool, Depends(may_include_deleted)]


# As dependencies these run first: 401, 403 and 404 before the body is validated.
async def get_own_post(post_id: RowId, author: Author, service: BlogServiceDep) -> Post:
    """Return your own post; administrators get any post."""
    return await service.get_own_post(post_id, author)


async def get_own_comment(comment_id: RowId, user: CurrentUser, service: BlogServiceDep) -> Comment:
    """Return your own comment; administrators get any comment."""
    return await service.get_own_comment(comment_id, user)


OwnPost = Annotated[Post, Depends(get_own_post)]
OwnComment = Annotated[Comment, Depends(get_own_comment)]


@router.get("/posts", response_model=list[PostRead], responses=errors(401, 403))
async def list_posts(
    service: BlogServiceDep,
    posts: CachedPostsDep,
    include_deleted: IncludeDeleted,
    request: Request,
    author: AuthorFilter | None = None,
    limit: Limit = 20,
    offset: Offset = 0,
) -> Sequence[Post] | Response:
    """Return posts, newest first."""
    if include_deleted:
        return await service.list_posts(
            author=author, include_deleted=True, limit=limit, offset=offset
        )
    cached = await posts.list(author=author, limit=limit, offset=offset)
    return answer(request, cached, CACHE_CONTROL)


@router.post(
    "/posts",
    response_model=PostRead,
    status_code=status.HTTP_201_CREATED,
    max_body_size=MAX_LONG_TEXT,
    responses=errors(401, 403, 409, 413),
)
async def create_post(
    post_in: PostCreate,
    author: Author,
    quotas: QuotasDep,
    service: BlogServiceDep,
    idempotency: IdempotencyDep,
    response: Response,
) -> Post | Response:
    """Publish a post."""
    post = await service.create_post(author, post_in, quotas, idempotency)
    if isinstance(post, Post):
        response.headers["Location"] = location(post)
    return post


@router.get("/posts/{post_id}", response_model=PostRead, responses=errors(401, 403, 404))
async def read_post(
    post_id: RowId,
    service: BlogServiceDep,
    posts: CachedPostsDep,
    include_deleted: IncludeDeleted,
    request: Request,
) -> Response:
    """Return one post."""
    if include_deleted:
        post = await service.get_post(post_id, include_deleted=True)
        return answer_body(request, as_body(as_json(post)), CACHE_CONTROL)
    return answer(request, await posts.get(post_id), CACHE_CONTROL)


@router.patch(
    "/posts/{post_id}",
    response_model=PostRead,
    max_body_size=MAX_LONG_TEXT,
    responses=errors(401, 403, 404, 412, 413),
)
async def update_post(
    post: OwnPost, post_in: PostPatch, service: BlogServiceDep, if_match: IfMatchDep
) -> Post:
    """Change your own post. Administrators can change any post."""
    version = if_match.version(post, as_json)
    return await service.update_post(post, post_in.model_dump(), version=version)


@router.delete(
    "/posts/{post_id}", status_code=status.HTTP_204_NO_CONTENT, responses=errors(401, 403, 404, 412)
)
async def delete_post(post: OwnPost, service: BlogServiceDep, if_match: IfMatchDep) -> None:
    """Delete your own post. Administrators can delete and restore any post."""
    await service.delete_post(post, version=if_match.version(post, as_json))


@router.post("/posts/{post_id}/restore", response_model=PostRead, responses=errors(401, 403, 404))
async def restore_post(post_id: RowId, _admin: Admin, service: BlogServiceDep) -> Post:
    """Restore a deleted post."""
    return await service.restore_post(post_id)


@router.get("/posts/{post_id}/comments", response_model=list[CommentRead], responses=errors(404))
async def list_comments(
    post_id: RowId, service: BlogServiceDep, limit: Limit = 20, offset: Offset = 0
) -> Sequence[Comment]:
    """Return the comments on a post, oldest first."""
    return await service.list_comments(post_id, limit=limit, offset=offset)


@router.post(
    "/posts/{post_id}/comments",
    response_model=CommentRead,
    status_code=status.HTTP_201_CREATED,
    responses=errors(401, 404, 409, 413),
)
async def create_comment(
    post_id: RowId,
    comment_in: CommentWrite,
    user: CurrentUser,
    quotas: QuotasDep,
    service: BlogServiceDep,
    idempotency: IdempotencyDep,
    response: Response,
) -> Comment | Response:
    """Comment on a post."""
    comment = await service.create_comment(post_id, user, comment_in, quotas, idempotency)
    if isinstance(comment, Comment):
        response.headers["Location"] = location(comment)
    return comment


@router.patch(
    "/comments/{comment_id}", response_model=CommentRead, responses=errors(401, 403, 404, 413)
)
async def update_comment(
    comment: OwnComment, comment_in: CommentWrite, service: BlogServiceDep
) -> Comment:
    """Change your own comment. Administrators can change any comment."""
    return await service.update_comment(comment, comment_in.body)


@router.delete(
    "/comments/{comment_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=errors(401, 403, 404),
)
async def delete_comment(comment: OwnComment, service: BlogServiceDep) -> None:
    """Delete your own comment. Administrators can delete and restore any comment."""
    await service.delete_comment(comment)


@router.post(
    "/comments/{comment_id}/restore", response_model=CommentRead, responses=errors(401, 403, 404)
)
async def restore_comment(comment_id: RowId, _admin: Admin, service: BlogServiceDep) -> Comment:
    """Restore a deleted comment."""
    return await service.restore_comment(comment_id)
