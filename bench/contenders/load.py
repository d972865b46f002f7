"""Many connections to one server: `load/`, the same program for every server and protocol."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from typing import Any

from contenders.base import Unavailable
from contenders.program import TARGET

# What is asked in turn: `read`, `write` or `health`, and the keys with their values.
Requests = Iterable[tuple[str, list[tuple[str, Any]]]]


def ask(address: str, protocol: str, requests: list[str], connections: int, seconds: float) -> dict[str, Any]:
    """Answers a second, the times by which half and 99 of 100 had come, and as `sample` one to the first request."""
    plan = {
        "address": address, "protocol": protocol, "connections": connections, "seconds": seconds, "requests": requests,
    }  # fmt: skip
    try:
        done = subprocess.run(
            [TARGET / "release" / "bench-load"], input=json.dumps(plan), capture_output=True, text=True
        )
    except OSError as error:
        raise Unavailable(f"bench-load cannot be started: {error}") from None
    if done.returncode:
        raise RuntimeError(f"bench-load: {done.stderr.strip()}")
    return json.loads(done.stdout)
