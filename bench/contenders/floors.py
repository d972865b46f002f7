"""What the parts cost by themselves: SQLite, the disk, parsing, an interpreter."""

from __future__ import annotations

import time
from typing import Any

import data
from contenders.base import Peer
from contenders.program import TARGET, Program


class Interpreter(Peer):
    """Python with the bench's own modules and no store: what memory is counted from."""

    name = "interpreter"
    title = "Python alone"


class Jiter(Peer):
    """Parsing alone: the text is already in memory."""

    name = "jiter"
    title = "jiter parse"
    note = "with its string cache for keys only or for all strings, whichever is faster on these values"
    verbs = ("get",)

    def open(self) -> None:
        import jiter

        self.jiter = jiter
        self.texts: dict[str, bytes] = {}
        self.cache_mode = "keys"

    def fill(self, start: int, count: int, values: list[Any], chunk: int = 1000) -> None:
        for i in range(start, start + count):
            self.texts[data.key(i)] = data.encode(values[i % len(values)]).encode()
        calls = [(key,) for key in self.texts] * 3
        modes = {}
        for self.cache_mode in ("keys", "all"):
            self.time("get", calls)
            modes[self.cache_mode] = self.time("get", calls)
        self.cache_mode = min(modes, key=lambda mode: modes[mode])

    def time(self, verb: str, calls: list[tuple[Any, ...]]) -> float:
        parse, mode, result = self.jiter.from_json, self.cache_mode, None
        texts = [self.texts[key] for (key,) in calls]
        started = time.perf_counter()
        for text in texts:
            result = parse(text, cache_mode=mode)
        seconds = time.perf_counter() - started
        self.last = result
        return seconds

    def versions(self) -> dict[str, str]:
        return {"jiter": self.jiter.__version__}


class RawSqlite(Program):
    """SQLite through its C API from a native program that times itself: no Python, no JSON."""

    name = "raw-sqlite"
    title = "raw SQLite, C API"
    synced = True
    note = "same schema, pragmas and SQLite build as ours; statements held; checkpoints untimed"
    path = TARGET / "bench-floors" / "release" / "floors"
    verbs: tuple[str, ...] = (
        "get", "set", "set_many", "get_many", "get_all", "list_keys", "list_namespaces", "clear", "increment",
    )  # fmt: skip

    kept = False

    def count(self, key: str, start: float, end: float) -> int:
        return self.ask("count", key=key, start=start, end=end, kept=self.kept)["found"]

    def versions(self) -> dict[str, str]:
        return {"SQLite (floor)": self.ask("version")["version"]}


class RawSqliteKept(RawSqlite):
    """An increment with all that the product keeps of it: version, times, the change in the feed, sums."""

    name = "raw-sqlite-kept"
    title = "raw SQLite, all kept"
    verbs = ("increment",)
    kept = True


class RawSqliteCheckpointing(RawSqlite):
    """With what a store in a file has to do some time: once in 1,000 pages a commit moves the log into the file."""

    name = "raw-sqlite-checkpointing"
    title = "raw SQLite, checkpoints timed"
    note = "as raw SQLite, but with SQLite's own checkpoints, every 1,000 pages and within the time"
    verbs = ("set",)

    def ask(self, verb: str, **arguments: Any) -> dict[str, Any]:
        return super().ask(verb, checkpoints=True, **arguments)


class Fdatasync(RawSqlite):
    """What the disk itself costs: 4 KB written over a file already there, then fdatasync."""

    name = "fdatasync"
    title = "4 KB write + fdatasync"
    note = "overwrites a preallocated file"
    verbs = ("set",)
    mode = "overwrite"

    def fill(self, start: int, count: int, values: list[Any], chunk: int = 1000) -> None: ...

    def time(self, verb: str, calls: list[tuple[Any, ...]]) -> float:
        answer = self.ask("fdatasync", mode=self.mode, count=len(calls))
        return answer["seconds"]

    def versions(self) -> dict[str, str]:
        return {}


class FdatasyncAppend(Fdatasync):
    name = "fdatasync-append"
    title = "4 KB append + fdatasync"
    note = "the file grows, so its size is written too"
    mode = "append"
