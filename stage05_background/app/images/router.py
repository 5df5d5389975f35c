"""The operations on images."""

import uuid
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response, UploadFile, status
from sqlalchemy import select

from app.dependencies import CurrentUser, SessionDep, SettingsDep
from app.files import file_response
from app.images.models import Image
from app.images.schemas import ImageRead
from app.images.service import ImageNotFound, delete_image, is_own, save_image
from app.images.storage import MediaStorage
from app.params import FORM_OVERHEAD, MAX_FILE_SIZE, Limit, Offset
from app.routing import GuardFirstRoute

router = APIRouter(prefix="/images", tags=["images"], route_class=GuardFirstRoute)


async def get_storage(request: Request) -> MediaStorage:
    """Return the storage that was made when the server started."""
    storage: MediaStorage = request.state.media_storage
    return storage


Storage = Annotated[MediaStorage, Depends(get_storage)]


@router.post(
    "",
    response_model=ImageRead,
    status_code=status.HTTP_201_CREATED,
    max_body_size=MAX_FILE_SIZE + FORM_OVERHEAD,
    form_limits={"max_files": 1, "max_fields": 10},
)
async def upload_image(
    file: UploadFile,
    user: CurrentUser,
    session: SessionDep,
    storage: Storage,
    settings: SettingsDep,
    response: Response,
) -> Image:
    """Store a JPEG or PNG picture of up to 5 MiB."""
    image = await save_image(file, user, session, storage, settings.max_images_per_user)
    response.headers["Location"] = f"/images/{image.id}"
    return image


@router.get("", response_model=list[ImageRead])
async def list_images(
    user: CurrentUser, session: SessionDep, limit: Limit = 20, offset: Offset = 0
) -> Sequence[Image]:
    """Return one's own images, newest first."""
    statement = select(Image).where(Image.owner_id == user.id)
    statement = statement.order_by(Image.uploaded_at.desc(), Image.id.desc())
    return (await session.scalars(statement.limit(limit).offset(offset))).all()


@router.get("/{image_id}", response_model=ImageRead)
async def read_image(image_id: uuid.UUID, user: CurrentUser, session: SessionDep) -> Image:
    """Return what is known about one of one's own images."""
    image = await session.scalar(select(Image).where(is_own(image_id, user)))
    if image is None:
        raise ImageNotFound(image_id)
    return image


@router.get("/{image_id}/file", response_class=Response)
async def read_image_file(
    image_id: uuid.UUID, request: Request, session: SessionDep, storage: Storage
) -> Response:
    """Return the picture to whoever knows its unguessable id: `<img src>` sends no token."""
    image = await session.get(Image, image_id)
    if image is None:
        raise ImageNotFound(image_id)
    response = await file_response(storage.path(image.path), request)
    response.headers["Cache-Control"] = "no-cache"  # may be kept, must be asked about: it can go
    response.headers["X-Content-Type-Options"] = "nosniff"  # the type we say, not one it looks like
    response.headers["Content-Disposition"] = "inline"
    return response


@router.delete("/{image_id}", status_code=status.HTTP_204_NO_CONTENT)
async def remove_image(
    image_id: uuid.UUID, user: CurrentUser, session: SessionDep, storage: Storage
) -> None:
    """Delete one of one's own images, the picture too."""
    await delete_image(image_id, user, session, storage)
