"""The operations on posts and comments."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query, Response, status

from app.auth.models import User
from app.auth.roles import Role
from app.blog.models import Comment, Post
from app.blog.schemas import CommentRead, CommentWrite, PostCreate, PostPatch, PostRead
from app.blog.service import Blog
from app.dependencies import CurrentUser, OptionalUser, SessionDep, require_role
from app.params import MAX_LONG_TEXT, Limit, Offset, RowId
from app.routing import GuardFirstRoute

router = APIRouter(tags=["blog"], route_class=GuardFirstRoute)

Author = Annotated[User, Depends(require_role(Role.AUTHOR))]
Admin = Annotated[User, Depends(require_role(Role.ADMIN))]
AuthorFilter = Annotated[str, Query(max_length=50, description="A user's id or name")]


async def get_blog(session: SessionDep) -> Blog:
    """Return the blog, which works in the request's session."""
    return Blog(session)


async def may_include_deleted(user: OptionalUser, include_deleted: bool = False) -> bool:
    """Return whether deleted things are wanted; answers 401 and 403 to all but administrators."""
    if include_deleted and user is None:
        detail = "Only administrators see what was deleted: sign in"
        raise HTTPException(401, detail, {"WWW-Authenticate": "Bearer"})
    if include_deleted and user and user.role != Role.ADMIN:
        raise HTTPException(403, "Only administrators see what was deleted")
    return include_deleted


BlogDep = Annotated[Blog, Depends(get_blog)]
IncludeDeleted = Annotated[bool, Depends(may_include_deleted)]


# As dependencies these come first: 401, 403 and 404 before the body is judged.
async def get_own_post(post_id: RowId, author: Author, blog: BlogDep) -> Post:
    """Return one's own post; administrators: anyone's."""
    return await blog.get_own_post(post_id, author)


async def get_own_comment(comment_id: RowId, user: CurrentUser, blog: BlogDep) -> Comment:
    """Return one's own comment; administrators: anyone's."""
    return await blog.get_own_comment(comment_id, user)


OwnPost = Annotated[Post, Depends(get_own_post)]
OwnComment = Annotated[Comment, Depends(get_own_comment)]


@router.get("/posts", response_model=list[PostRead])
async def list_posts(
    blog: BlogDep,
    include_deleted: IncludeDeleted,
    author: AuthorFilter | None = None,
    limit: Limit = 20,
    offset: Offset = 0,
) -> Sequence[Post]:
    """Return posts, newest first."""
    return await blog.list_posts(
        author=author, include_deleted=include_deleted, limit=limit, offset=offset
    )


@router.post(
    "/posts",
    response_model=PostRead,
    status_code=status.HTTP_201_CREATED,
    max_body_size=MAX_LONG_TEXT,
)
async def create_post(
    post_in: PostCreate, author: Author, blog: BlogDep, response: Response
) -> Post:
    """Publish a post."""
    post = await blog.create_post(author, post_in.model_dump())
    response.headers["Location"] = f"/posts/{post.id}"
    return post


@router.get("/posts/{post_id}", response_model=PostRead)
async def read_post(post_id: RowId, blog: BlogDep, include_deleted: IncludeDeleted) -> Post:
    """Return one post."""
    return await blog.get_post(post_id, include_deleted=include_deleted)


@router.patch("/posts/{post_id}", response_model=PostRead, max_body_size=MAX_LONG_TEXT)
async def update_post(post: OwnPost, post_in: PostPatch, blog: BlogDep) -> Post:
    """Change one's own post; administrators: anyone's."""
    return await blog.update_post(post, post_in.model_dump())


@router.delete("/posts/{post_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_post(post: OwnPost, blog: BlogDep) -> None:
    """Delete one's own post; administrators: anyone's. It can be restored."""
    await blog.delete_post(post)


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
    post_id: RowId, comment_in: CommentWrite, user: CurrentUser, blog: BlogDep, response: Response
) -> Comment:
    """Comment on a post."""
    comment = await blog.create_comment(post_id, user, comment_in.body)
    response.headers["Location"] = f"/posts/{post_id}/comments"
    return comment


@router.patch("/comments/{comment_id}", response_model=CommentRead)
async def update_comment(comment: OwnComment, comment_in: CommentWrite, blog: BlogDep) -> Comment:
    """Change one's own comment; administrators: anyone's."""
    return await blog.update_comment(comment, comment_in.body)


@router.delete("/comments/{comment_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_comment(comment: OwnComment, blog: BlogDep) -> None:
    """Delete one's own comment; administrators: anyone's. It can be restored."""
    await blog.delete_comment(comment)


@router.post("/comments/{comment_id}/restore", response_model=CommentRead)
async def restore_comment(comment_id: RowId, _admin: Admin, blog: BlogDep) -> Comment:
    """Bring a deleted comment back."""
    return await blog.restore_comment(comment_id)
