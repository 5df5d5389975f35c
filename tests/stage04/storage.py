"""The files and the rows of images, read without the app: each needs the other."""

from __future__ import annotations

from pathlib import Path

from course.harness.server import LaunchedServer

ROWS = "SELECT path, size FROM images"


def media_of(server: LaunchedServer) -> Path:
    """Return the directory of the server's pictures."""
    return server.data_dir / server.environment().get("MEDIA_DIR", "media")


def files_in(media: Path) -> dict[str, int]:
    """Return the size of every file below a directory by its relative path.

    The capstone makes thumbnails. A thumbnail belongs to its picture, so it counts only when there
    is no such picture.
    """
    pictures = {path.stem for path in media.glob("*") if path.is_file()}
    return {
        path.relative_to(media).as_posix(): path.stat().st_size
        for path in media.rglob("*")
        if path.is_file() and not (path.parent != media and path.stem.partition("-")[0] in pictures)
    }


def rows_of(server: LaunchedServer) -> dict[str, int]:
    """Return the size of every picture in the database by its stored path."""
    return dict(server.database.query(ROWS))
