"""How much memory a process takes."""

import re
from pathlib import Path

MIB = 1024 * 1024


def memory_of(pid: int) -> dict[str, int]:
    """Return the resident memory of a process in bytes: now (VmRSS), and the maximum (VmHWM)."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return {name: int(kib) * 1024 for name, kib in re.findall(r"(Vm\w+):\s+(\d+) kB", status)}
