"""The operations on images: each reads the input, calls the service and answers."""

import uuid
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request, Response, UploadFile, status

from app.dependencies import CurrentUser, SessionDep, SettingsDep
from app.exceptions import errors
from app.files import file_response
from app.images.models import Image
from app.images.schemas import ImageRead
from app.images.service import ImageService
from app.params import FORM_OVERHEAD, MAX_FILE_SIZE, Limit, Offset
from app.routing import GuardFirstRoute

router = APIRouter(prefix="/images", tags=["images"], route_class=GuardFirstRoute)


async def get_image_service(
    request: Request, session: SessionDep, settings: SettingsDep
) -> ImageService:
    """Return a service that uses the request's session and the server's storage."""
    return ImageService(session, request.state.media_storage, settings.max_images_per_user)


ImageServiceDep = Annotated[ImageService, Depends(get_image_service)]
Key = Annotated[
    uuid.UUID | None,
    Header(
        alias="Idempotency-Key",
        description="A repeated upload with the same key gets the first image again",
    ),
]


@router.post(
    "",
    response_model=ImageRead,
    status_code=status.HTTP_201_CREATED,
    max_body_size=MAX_FILE_SIZE + FORM_OVERHEAD,
    form_limits={"max_files": 1, "max_fields": 10},
    responses=errors(401, 409, 413, 415),
)
async def upload_image(
    file: UploadFile,
    user: CurrentUser,
    service: ImageServiceDep,
    response: Response,
    key: Key = None,
) -> Image:
    """Store a JPEG or PNG picture of up to 5 MiB."""
    image = await service.save(file, user, key)
    response.headers["Location"] = f"/images/{image.id}"
    return image


@router.get("", response_model=list[ImageRead], responses=errors(401))
async def list_images(
    user: CurrentUser, service: ImageServiceDep, limit: Limit = 20, offset: Offset = 0
) -> Sequence[Image]:
    """Return your images, newest first."""
    return await service.list(user, limit=limit, offset=offset)


@router.get("/{image_id}", response_model=ImageRead, responses=errors(401, 404))
async def read_image(image_id: uuid.UUID, user: CurrentUser, service: ImageServiceDep) -> Image:
    """Return the metadata of one of your images."""
    return await service.get(image_id, user)


@router.get("/{image_id}/file", response_class=Response, responses=errors(404, 416))
async def read_image_file(
    image_id: uuid.UUID, request: Request, service: ImageServiceDep
) -> Response:
    """Return the picture. It needs no token, as `<img src>` sends none; the id is unguessable."""
    response = await file_response(await service.find_file(image_id), request)
    response.headers["Cache-Control"] = "no-cache"  # a cache must ask each time: it can be deleted
    response.headers["X-Content-Type-Options"] = "nosniff"  # the browser must not guess the type
    response.headers["Content-Disposition"] = "inline"
    return response


@router.delete("/{image_id}", status_code=status.HTTP_204_NO_CONTENT, responses=errors(401, 404))
async def remove_image(image_id: uuid.UUID, user: CurrentUser, service: ImageServiceDep) -> None:
    """Delete one of your images and its file."""
    await service.delete(image_id, user)
