"""The operations on images."""

import uuid
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response, UploadFile, status

from app.auth.dependencies import CurrentUser, SettingsDep
from app.database import SessionDep
from app.errors import GuardFirstRoute
from app.images.models import Image
from app.images.schemas import ImageRead
from app.images.storage import MediaStorage
from app.parameters import FORM_OVERHEAD, MAX_FILE_SIZE, Limit, Offset

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
    # TODO 4.1: Upload a JPEG or PNG
    raise NotImplementedError("TODO 4.1: Upload a JPEG or PNG")


@router.get("", response_model=list[ImageRead])
async def list_images(
    user: CurrentUser, session: SessionDep, limit: Limit = 20, offset: Offset = 0
) -> Sequence[Image]:
    """Return one's own images, newest first."""
    # TODO 4.4: Uploaded images are listed, fetched and displayed through the API
    raise NotImplementedError("TODO 4.4: Uploaded images are listed, fetched and …")


@router.get("/{image_id}", response_model=ImageRead)
async def read_image(image_id: uuid.UUID, user: CurrentUser, session: SessionDep) -> Image:
    """Return what is known about one of one's own images."""
    # TODO 4.4: Uploaded images are listed, fetched and displayed through the API
    raise NotImplementedError("TODO 4.4: Uploaded images are listed, fetched and …")


@router.get("/{image_id}/file", response_class=Response)
async def read_image_file(
    image_id: uuid.UUID, request: Request, session: SessionDep, storage: Storage
) -> Response:
    """Return the picture to whoever knows its unguessable id: `<img src>` sends no token."""
    # TODO 4.4: Uploaded images are listed, fetched and displayed through the API
    raise NotImplementedError("TODO 4.4: Uploaded images are listed, fetched and …")


@router.delete("/{image_id}", status_code=status.HTTP_204_NO_CONTENT)
async def remove_image(
    image_id: uuid.UUID, user: CurrentUser, session: SessionDep, storage: Storage
) -> None:
    """Delete one of one's own images, the picture too."""
    # TODO 4.4: Uploaded images are listed, fetched and displayed through the API
    raise NotImplementedError("TODO 4.4: Uploaded images are listed, fetched and …")
