"""What every contender is: a store behind the same few verbs, timed the same way."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import data


class Unavailable(Exception):
    """This contender cannot run here; the text says why."""


class Peer:
    """The verbs. A contender leaves out what its store has no call for."""

    name = ""
    title = ""
    # In the chart, where the title is too long or what it says is said by the panel's.
    label = ""
    synced: bool | None = None
    note = ""
    # The verbs that `open` binds or `time` performs; methods of the class need not be named.
    verbs: tuple[str, ...] = ()
    # Whether it needs the server of `postgres.server`.
    on_postgres = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.space = "bench"
        self.last: Any = None

    def open(self) -> None: ...
    def close(self) -> None: ...
    def bind(self) -> None:
        """Called when `space` has changed."""

    def settle(self) -> None:
        """Waits for what was written to be on the disk."""
        os.sync()

    def bytes(self) -> int:
        """What it takes on the disk."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def versions(self) -> dict[str, str]:
        return {}

    def namespace(self, name: str) -> Peer:
        other = copy.copy(self)
        other.space = name
        other.bind()
        return other

    @classmethod
    def has(cls, verb: str) -> bool:
        return verb in cls.verbs or hasattr(cls, verb)

    def fill(self, start: int, count: int, values: list[Any], chunk: int = 1000) -> None:
        for first in range(start, start + count, chunk):
            last = min(first + chunk, start + count)
            self.set_many({data.key(i): values[i % len(values)] for i in range(first, last)})  # type: ignore[attr-defined]

    def time(self, verb: str, calls: list[tuple[Any, ...]]) -> float:
        """Seconds that these calls took together. The last result stays in `last`, so that freeing it is not timed."""
        call = getattr(self, verb)
        result = self.last = None
        if calls and len(calls[0]) == 1:
            arguments = [each[0] for each in calls]
            started = time.perf_counter()
            for argument in arguments:
                result = call(argument)
        else:
            started = time.perf_counter()
            for each in calls:
                result = call(*each)
        seconds = time.perf_counter() - started
        self.last = result
        return seconds

    def count(self, key: str, start: float, end: float) -> int:
        """How many increments this process makes between two moments, in seconds since 1970."""
        increment: Callable[[str], Any] = self.increment  # type: ignore[attr-defined]
        time.sleep(max(0, start - time.time()))
        done = 0
        while time.time() < end:
            increment(key)
            done += 1
        return done
