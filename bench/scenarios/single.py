"""One record at a time: reading and overwriting."""

from __future__ import annotations

from typing import Any

import data
from contenders import Peer
from contenders.program import Program
from scenario import Repeated, expect, overwriting

READERS = ("ours", "ours-uncached", "raw-sqlite", "jiter", "sqlite3", "diskcache", "langgraph", "lmdb", "redis")
WRITERS = ("ours", "ours-uncached", "raw-sqlite", "raw-sqlite-checkpointing", "fdatasync", "fdatasync-append",
           "sqlite3", "diskcache", "langgraph", "lmdb", "redis", "ours-relaxed", "diskcache-default")  # fmt: skip


class Get(Repeated):
    verb = "get"
    contenders = READERS
    hot = 100
    processes = 4

    def calls(self, count: int) -> list[tuple[Any, ...]]:
        return [(data.key(i % self.hot),) for i in range(count)]

    def check(self, peer: Peer) -> None:
        if isinstance(peer, Program):
            expect(peer.last, len(data.encode(self.values[2]).encode()), "bytes read")
        else:
            expect(peer.last, self.values[2], "get")


class Get200(Get):
    name, title = "get_200", "hot get, 200 B"


class Get4k(Get):
    name, title = "get_4k", "hot get, 4 KB"
    value_bytes = data.LARGE_BYTES


class Miss(Repeated):
    name, title = "miss", "get of a missing key"
    verb = "get"
    contenders = tuple(peer for peer in READERS if peer != "jiter")

    def calls(self, count: int) -> list[tuple[Any, ...]]:
        return [(data.key(i % 100) + "?",) for i in range(count)]

    def check(self, peer: Peer) -> None:
        expect(peer.last or None, None, "get of a missing key")


class Set(Repeated):
    """Overwriting one record after another: each call returns when its write is on the disk."""

    verb = "set"
    contenders: tuple[str, ...] = WRITERS
    writes = True

    def slice_seconds(self) -> float:
        return self.plan.writing_seconds

    def calls(self, count: int) -> list[tuple[Any, ...]]:
        self.done += count
        return overwriting(self.done - count, count, self.records, self.values)


class Set200(Set):
    name, title = "set_200", "one durable set, 200 B"


class Set4k(Set):
    name, title = "set_4k", "one durable set, 4 KB"
    value_bytes = data.LARGE_BYTES


class Disk(Set):
    """The disk's own speed, taken every round beside each scenario that waits for it. Not a row."""

    name, title = "disk", "4 KB write + fdatasync"
    contenders = ("fdatasync",)
