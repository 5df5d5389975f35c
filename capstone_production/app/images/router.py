"""The operations on images: each reads the input, calls the service and answers."""

import uuid
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response, UploadFile, status

from app.cache.http import IfMatchDep, answer_body, as_body
from app.dependencies import CurrentUser, SessionDep, SettingsDep
from app.exceptions import errors
from app.files import file_response
from app.idempotency import IdempotencyDep
from app.images.models import Image
from app.images.pictures import ThumbnailSize
from app.images.schemas import ImageRead
from app.images.service import ImageService, as_json, location
from app.params import FORM_OVERHEAD, MAX_FILE_SIZE, Limit, Offset
from app.routing import GuardFirstRoute

router = APIRouter(prefix="/images", tags=["images"], route_class=GuardFirstRoute)


async def get_image_service(
    request: Request, session: SessionDep, settings: SettingsDep
) -> ImageService:
    """Return a service that uses the request's session and the server's storage."""
    return ImageService(session, request.state.media_storage, settings.max_images_per_user)


ImageServiceDep = Annotated[ImageService, Depends(get_image_service)]


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
    idempotency: IdempotencyDep,
    response: Response,
) -> Image | Response:
    """Store a JPEG or PNG picture of up to 5 MiB."""
    image = await service.save(file, user, idempotency)
    if isinstance(image, Image):
        response.headers["Location"] = location(image)
    return image


@router.get("", response_model=list[ImageRead], responses=errors(401))
async def list_images(
    user: CurrentUser, service: ImageServiceDep, limit: Limit = 20, offset: Offset = 0
) -> Sequence[Image]:
    """Return your images, newest first."""
    return await service.list(user, limit=limit, offset=offset)


@router.get("/{image_id}", response_model=ImageRead, responses=errors(401, 404))
async def read_image(
    image_id: uuid.UUID, user: CurrentUser, service: ImageServiceDep, request: Request
) -> Response:
    """Return the metadata of one of your images."""
    body = as_body(as_json(await service.get(image_id, user)))
    return answer_body(request, body, "private, no-cache")


@router.get("/{image_id}/file", response_class=Response, responses=errors(404, 416))
async def read_image_file(
    image_id: uuid.UUID, request: Request, service: ImageServiceDep
) -> Response:
    """Return the picture. It needs no token, as `<img src>` sends none; the id is unguessable."""
    return picture_response(await file_response(await service.find_file(image_id), request))


def picture_response(response: Response) -> Response:
    """Return the answer that sends a file, with the rules for the browser."""
    response.headers["Cache-Control"] = "no-cache"  # a cache must ask each time: it can be deleted
    response.headers["X-Content-Type-Options"] = "nosniff"  # the browser must not guess the type
    response.headers["Content-Disposition"] = "inline"
    return response


@router.get("/{image_id}/thumbnail", response_class=Response, responses=errors(404, 416))
async def read_thumbnail(
    image_id: uuid.UUID,
    request: Request,
    service: ImageServiceDep,
    size: ThumbnailSize = ThumbnailSize.SMALL,
) -> Response:
    """Return a square part of the picture, as WebP; a picture that has no thumbnail stands for it.

    It needs no token, like the picture.
    """
    path = await service.find_thumbnail(image_id, size)
    response = picture_response(await file_response(path, request))
    if path.suffix == ".webp":
        response.headers["Content-Type"] = "image/webp"  # some systems do not know this type
    return response


@router.delete(
    "/{image_id}", status_code=status.HTTP_204_NO_CONTENT, responses=errors(401, 404, 412)
)
async def remove_image(
    image_id: uuid.UUID, user: CurrentUser, service: ImageServiceDep, if_match: IfMatchDep
) -> None:
    """Delete one of your images and its file."""
    await service.delete(image_id, user, if_match)
