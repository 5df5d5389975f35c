"""The limits of a stranger's solution on this machine."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """The limits of one solution, from its start to its end."""

    memory: int = 1024 * MIB  # of all its processes together; without a control group, of each
    processes: int = 128  # threads count, too
    open_files: int = 1024  # of each process
    file: int = 256 * MIB  # the largest file, its log too
    disk: int = 1024 * MIB  # all its files together, and at most this many:
    files: int = 20_000
    memory_files: int = 64 * MIB  # in /tmp and in /dev/shm
    seconds: int = 3600  # from a start of the server to its end
    cpu_seconds: int = 1800  # of each process


LIMITS = Limits()
