"""The files of a stage directory on disk, as git sees them, and their git trees.

Uncommitted and untracked files count. Ignored files do not: they are never listed, written or
deleted here. Trees are made with a private index, so the user's staged changes stay staged. Content
is compared as git stores it, so `.gitattributes` decides about line endings.
"""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from course.catalog.stages import CourseError

# The temporary name of a file during a write, so that a killed run leaves no half file.
UNFINISHED = ".course-propagate.tmp"


class Entry(NamedTuple):
    """One file of a tree: its mode (`100644` or `100755`) and the id of its content."""

    mode: str
    blob: str


Files = Mapping[str, Entry]


class Tree(NamedTuple):
    """A stored tree: its id and its files by path."""

    id: str
    files: Files


def git(
    root: Path, *arguments: str, given: bytes = b"", index: Path | None = None, most: int = 0
) -> bytes:
    """Return the output of git with these `arguments`, run in `root`.

    `index` replaces the user's index; exit statuses up to `most` count as success. Raises
    `CourseError` with git's message, or with an instruction if git or the repository is missing.
    """
    environment = os.environ | {"LC_ALL": "C", "GIT_LITERAL_PATHSPECS": "1"}
    if index is not None:
        environment["GIT_INDEX_FILE"] = str(index)
    # Ignore warnings about line endings, since .gitattributes decides about them.
    command = ["git", "-c", "core.safecrlf=false", "-c", "core.quotePath=false", *arguments]
    try:
        done = subprocess.run(command, cwd=root, env=environment, input=given, capture_output=True)
    except FileNotFoundError as error:
        if not root.is_dir():
            raise CourseError(f"{root}: no such directory") from error
        raise CourseError("git is not on the PATH: install it") from error
    if done.returncode < 0 or done.returncode > most:
        said = " ".join(done.stderr.decode("utf-8", "replace").split())
        if "not a git repository" in said:
            raise CourseError(
                f"{root} is not a git repository: clone the course (an unpacked archive has no"
                " history to compare with)"
            )
        raise CourseError(f"git {arguments[0]} failed: {said}")
    return done.stdout


def shown(path: str) -> str:
    """Return `path` for a message, escaped if it would break the line."""
    return path if path.isprintable() else ascii(path)


def listed(root: Path, directory: str = ".") -> list[str]:
    """Return the paths on disk, relative to `root`, that git does not ignore, tracked or not.

    They include symbolic links, and nested repositories with a slash at the end.
    """
    return list(_indexed(root, directory))


def _indexed(root: Path, *directories: str) -> dict[str, Entry | None]:
    """Return the entry of the user's index for each listed path, except untracked ones."""
    output = git(root, "ls-files", "-cost", "--exclude-standard", "-z", "--", *directories)
    found: dict[str, Entry | None] = {}
    for row in output.split(b"\0"):
        about, _, name = row.partition(b"? " if row.startswith(b"? ") else b"\t")
        path = os.fsdecode(name)
        # A tracked path may have been deleted or replaced by a directory.
        if path.endswith("/") or (path and _is_file(root / path)):
            # H 100644 1a2b… 0: a tag, the mode, the content, the side of a git merge.
            found[path] = Entry(*about.decode().split(" ")[1:3]) if about else None
    return dict(sorted(found.items()))


def _is_file(path: Path) -> bool:
    return path.is_symlink() or path.is_file()


def trees_on_disk(root: Path, directories: Iterable[str]) -> dict[str, Tree]:
    """Store the present files of each directory as a git tree; return the trees by directory.

    An empty or missing directory has the empty tree. Raises `CourseError` for a symbolic link or a
    nested repository, since a plain copy cannot hold them.
    """
    wanted = list(directories)
    if not wanted:
        return {}
    paths = _indexed(root, *wanted)
    for path in paths:
        if (root / path).is_symlink():
            raise CourseError(
                f"{shown(path)} is a symbolic link: stages are plain copies, put the file there"
            )
        if path.endswith("/"):
            raise CourseError(f"{shown(path)} is a git repository of its own: delete its .git")
    # One index for all of them, since each start of git takes time.
    prefix = _prefix(root)
    with tempfile.TemporaryDirectory(prefix="course-") as scratch:
        index = Path(scratch) / "index"
        # On a file system without executable bits (core.fileMode=false), git keeps the mode of the
        # index. So start from the user's index; the content is read from disk below.
        known = [
            f"{entry.mode} {entry.blob}\t{prefix}{path}"
            for path, entry in paths.items()
            if entry and entry.mode == "100755"
        ]
        if known:
            git(root, "update-index", "-z", "--index-info", given=_ended(known), index=index)
        git(root, "update-index", "--add", "-z", "--stdin", given=_ended(paths), index=index)
        whole = git(root, "write-tree", index=index).decode().strip()
    ids, files = _rows(root, whole)
    trees = {}
    for directory in wanted:
        inside = f"{prefix}{directory}/"
        empty = f"{prefix}{directory}" not in ids
        trees[directory] = Tree(
            _empty_tree(root) if empty else ids[f"{prefix}{directory}"],
            {path.removeprefix(inside): e for path, e in files.items() if path.startswith(inside)},
        )
    return trees


def tree_on_disk(root: Path, directory: str) -> Tree:
    """Return the tree of one directory, as `trees_on_disk` does."""
    return trees_on_disk(root, [directory])[directory]


def _empty_tree(root: Path) -> str:
    return git(root, "hash-object", "-t", "tree", "-w", "--stdin").decode().strip()


@cache
def _prefix(root: Path) -> str:
    # Empty, unless the course is a folder of a larger repository.
    return os.fsdecode(git(root, "rev-parse", "--show-prefix").rstrip(b"\n"))


def _ended(items: Iterable[str]) -> bytes:
    return b"".join(os.fsencode(item) + b"\0" for item in items)


def read_tree(root: Path, tree: str) -> Files:
    """Return the files of a stored tree by path; raise `CourseError` if git does not have it."""
    try:
        _, files = _rows(root, tree)
    except CourseError as error:
        git(root, "rev-parse", "--git-dir")  # without a repository the message is another one
        raise CourseError(
            f"git has no tree {tree}. In a shallow clone run `git fetch --unshallow`; in a full one"
            " it was never committed: fetch the branch that has it, or carry the edits by hand and"
            " record that with `python3 noxfile.py propagate --adopt STAGE`"
        ) from error
    return files


def _rows(root: Path, tree: str) -> tuple[dict[str, str], dict[str, Entry]]:
    """Return the trees inside a tree and its files, each by path."""
    output = git(root, "ls-tree", "-r", "-t", "-z", "--full-tree", f"{tree}^{{tree}}")
    trees, files = {}, {}
    for row in filter(None, output.split(b"\0")):
        about, name = row.split(b"\t", 1)
        mode, kind, id_ = about.decode().split(" ")
        if kind == "tree":
            trees[os.fsdecode(name)] = id_
        else:
            files[os.fsdecode(name)] = Entry(mode, id_)
    return trees, files


def content(root: Path, blob: str) -> bytes:
    """Return a stored content as git keeps it."""
    return git(root, "cat-file", "blob", blob)


def store(root: Path, data: bytes) -> str:
    """Store a content as it is and return its id."""
    return git(root, "hash-object", "-w", "--stdin", given=data).decode().strip()


def place(root: Path, directory: str, now: Files, wanted: Files) -> list[str]:
    """Change `directory` from `now` to `wanted`; return the paths that could not be written.

    A path cannot be written if something that is not in `now` is in the way (an ignored file, or a
    user's file in the place of a directory). At any moment each file is either unchanged or
    complete.
    """
    home = root / directory
    for path in sorted(now.keys() - wanted.keys()):
        (home / path).unlink(missing_ok=True)
        _remove_empty(home, (home / path).parent)
    blocked = []
    for path, entry in sorted(wanted.items()):
        if now.get(path) == entry:
            continue
        # Git applies the line endings of .gitattributes, as in a checkout.
        where = f"--path={directory}/{path}"
        data = git(root, "cat-file", "--filters", where, entry.blob)
        if path not in now and _in_the_way(home, home / path, data):
            blocked.append(path)
        else:
            _write(home, home / path, data, executable=entry.mode == "100755")
    return blocked


def _remove_empty(home: Path, directory: Path) -> None:
    while directory != home:
        try:
            directory.rmdir()
        except OSError:
            return
        directory = directory.parent


def _in_the_way(home: Path, target: Path, data: bytes) -> bool:
    for parent in target.parents:
        if parent == home:
            break
        if parent.is_symlink() or (parent.exists() and not parent.is_dir()):
            return True
    if target.is_dir() and not target.is_symlink():
        _remove_empty(target.parent, target)
    if target.is_symlink() or target.is_dir():
        return True
    return target.exists() and target.read_bytes() != data


def _write(home: Path, target: Path, data: bytes, *, executable: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = home / UNFINISHED
    unfinished.unlink(missing_ok=True)
    unfinished.write_bytes(data)
    if executable:
        mode = stat.S_IMODE(unfinished.stat().st_mode)
        unfinished.chmod(mode | (mode & 0o444) >> 2)  # executable for everybody who may read it
    unfinished.replace(target)
