"""Resident memory of a process, as Linux counts it; elsewhere only the peak of this one since its start is
known."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def _status(field: str, path: Path = _STATUS) -> int:
    for line in path.read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


def _peak_since_start() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def resident_bytes() -> int:
    return _status("VmRSS") if _STATUS.exists() else _peak_since_start()


def resident_bytes_of(pid: int) -> int:
    """Raises NotImplementedError where the system has no such file."""
    try:
        return _status("VmRSS", Path(f"/proc/{pid}/status"))
    except FileNotFoundError:
        raise NotImplementedError from None


def reset_peak() -> None:
    if _STATUS.exists():
        Path("/proc/self/clear_refs").write_text("5")


def peak_bytes() -> int:
    return _status("VmHWM") if _STATUS.exists() else _peak_since_start()
