"""Many records at a time."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

import data
from contenders import Peer
from contenders.program import Program
from scenario import Plan, Repeated, Scenario, expect, size


class Bulk(Repeated):
    value_bytes = data.LARGE_BYTES
    contenders: tuple[str, ...] = ("ours", "raw-sqlite", "sqlite3", "diskcache", "langgraph", "lmdb", "redis")


class SetMany(Bulk):
    name, title = "set_many", "set_many, 1,000 x 4 KB"
    verb = "set_many"
    contenders = (*Bulk.contenders, "ours-relaxed")
    writes = True

    def calls(self, count: int) -> list[tuple[Any, ...]]:
        shift = self.rng.randrange(data.POOL)
        items = {data.key(i): self.values[(i + shift) % data.POOL] for i in range(self.plan.many)}
        return [(items,)] * count

    def slice_seconds(self) -> float:
        return 0


class GetMany(Bulk):
    name, title = "get_many", "get_many, 1,000 x 4 KB"
    verb = "get_many"

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.records = plan.all

    def calls(self, count: int) -> list[tuple[Any, ...]]:
        return [([data.key(i) for i in self.rng.sample(range(self.records), self.plan.many)],) for _ in range(count)]

    def check(self, peer: Peer) -> None:
        expect(size(peer.last), self.plan.many, "records")

    def slice_seconds(self) -> float:
        return 0


class GetAll(Bulk):
    """With what comes after: a store that keeps the garbage collector away only puts its work off until the next
    objects are made, so some are made within the measured time."""

    name = "get_all"
    verb = "get_all"
    # More than the collector lets pass.
    objects = 5_000

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.records = plan.all
        self.title = f"get_all, {self.records:,} x 4 KB"

    def prepare(self, peer: Peer) -> dict[str, Any]:
        self.values = data.pool(self.value_bytes)
        peer.fill(0, self.records, self.values)
        self.measure("get_all", peer)
        expect(size(peer.last), self.records, "records")
        return {"objects": self.objects}

    def measure(self, name: str, peer: Peer) -> float:
        peer.last = None
        gc.collect()
        if isinstance(peer, Program):
            return peer.time("get_all", [()])
        get_all: Callable[[], dict[str, Any]] = peer.get_all  # type: ignore[attr-defined]
        objects: list[list[Any]] = []
        started = time.perf_counter()
        result = get_all()
        for _ in range(self.objects):
            objects.append([])
        seconds = time.perf_counter() - started
        peer.last = result
        return seconds


class ListKeys(Repeated):
    verb = "list_keys"
    name = "list_keys"
    contenders = ("ours", "raw-sqlite", "sqlite3", "lmdb")

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.records = plan.listed_among
        self.title = f"list_keys(prefix), 100 of {self.records:,}"

    def calls(self, count: int) -> list[tuple[Any, ...]]:
        return [(data.prefix(self.rng.randrange(self.records)),) for _ in range(count)]

    def check(self, peer: Peer) -> None:
        expect(size(peer.last), 100, "keys")


class ListNamespaces(Repeated):
    verb = "list_namespaces"
    name = "list_namespaces"
    contenders = ("ours", "raw-sqlite", "sqlite3")

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.title = f"list_namespaces, {plan.namespaces:,} over {plan.namespaces * plan.per_namespace:,} records"
        self.records = 0

    def rounds(self) -> int:
        return self.plan.few_rounds

    def prepare(self, peer: Peer) -> dict[str, Any]:
        started = time.perf_counter()
        values = data.pool(data.SMALL_BYTES)
        for number in range(self.plan.namespaces):
            space = peer.namespace(f"repository:{number:05d}")
            space.fill(0, self.plan.per_namespace, values, chunk=self.plan.per_namespace)
        seconds = time.perf_counter() - started
        return {**super().prepare(peer), "building_seconds": seconds}

    def calls(self, count: int) -> list[tuple[Any, ...]]:
        return [()] * count

    def check(self, peer: Peer) -> None:
        expect(size(peer.last), self.plan.namespaces, "namespaces")


class Clear(Scenario):
    """Clearing a full namespace, with one durable set in the same round to hold it against.

    That set comes first: afterwards it would wait for whatever the clear left to be done, and so make the clear look
    cheap. How long it then takes is shown by itself (`set_after`)."""

    name = "clear"
    contenders = ("ours", "raw-sqlite", "sqlite3", "diskcache", "lmdb", "redis")
    measures = ("set", "clear", "set_after")
    writes = True

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.title = f"clear, {plan.all:,} x 4 KB"

    def supports(self, peer: type[Peer]) -> bool:
        return peer.has("set") and peer.has("clear")

    def rounds(self) -> int:
        return self.plan.few_rounds

    def prepare(self, peer: Peer) -> dict[str, Any]:
        self.values = data.pool(data.LARGE_BYTES)
        self.small = data.pool(data.SMALL_BYTES)
        self.other = peer.namespace("other")
        self.other.fill(0, 100, self.small)
        self.turn = 0
        return {}

    def clear(self, peer: Peer) -> float:
        peer.fill(0, self.plan.all, self.values)
        # The filling's own writes must not be in the way of the one that is measured.
        peer.settle()
        self.some_sets(5)
        return peer.time("clear", [()])

    def set(self, peer: Peer) -> float:
        self.some_sets(5)
        return self.some_sets(50)

    def set_after(self, peer: Peer) -> float:
        return self.some_sets(50)

    def some_sets(self, count: int) -> float:
        # Other values than the last time: see Set.
        self.turn += 1
        calls = [(data.key(i), self.small[(i + self.turn) % data.POOL]) for i in range(count)]
        return self.other.time("set", calls) / count
