"""What grows with the number of records: time and memory."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import data
import memory
from contenders import Peer
from scenario import Plan, Scenario, expect


class Growth(Scenario):
    """The same calls on a small store and on a huge one: on the same few keys again and again (`hot_`), or on keys
    drawn evenly from all of them."""

    name = "growth"
    contenders = ("ours", "raw-sqlite")
    calls = ("hot_get", "get", "hot_set", "set", "hot_list_keys", "list_keys")
    measures = tuple(f"{call}_{size}" for call in calls for size in ("small", "large"))
    writes = True
    hot = 100

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.title = f"{plan.growth_small:,} and {plan.growth_large:,} records"
        self.rng = random.Random(11)
        self.stores: dict[str, tuple[Peer, int]] = {}
        self.times: dict[str, int] = {}
        self.turn = 0

    def supports(self, peer: type[Peer]) -> bool:
        return all(peer.has(verb) for verb in ("get", "set", "list_keys"))

    def prepare(self, peer: Peer) -> dict[str, Any]:
        self.values = data.pool(data.SMALL_BYTES)
        large = type(peer)(peer.folder / "large")
        large.folder.mkdir()
        large.open()
        peer.fill(0, self.plan.growth_small, self.values)
        started = time.perf_counter()
        built = 0
        while built < self.plan.growth_large and time.perf_counter() - started < self.plan.growth_seconds:
            count = min(100_000, self.plan.growth_large - built)
            large.fill(built, count, self.values, chunk=10_000)
            built += count
        seconds = time.perf_counter() - started
        self.stores = {"small": (peer, self.plan.growth_small), "large": (large, built)}
        # The system is still busy writing gigabytes: that is the building's cost, not that of the calls to come.
        for each in (peer, large):
            each.settle()
        for measure in self.measures:
            self.times[measure] = 5
            took = self.measure(measure, peer)
            budget = self.plan.writing_seconds if "set" in measure else self.plan.slice_seconds
            self.times[measure] = max(10, min(20_000, int(budget / took)))
        return {"records": built, "building_seconds": seconds, "bytes": large.bytes()}

    def measure(self, name: str, peer: Peer) -> float:
        call, _, which = name.rpartition("_")
        verb = call.removeprefix("hot_")
        store, records = self.stores[which]
        count = self.times[name]
        if call == verb:
            numbers = [self.rng.randrange(records) for _ in range(count)]
        else:
            # Apart from each other, so that each is on pages of its own.
            numbers = [i % self.hot * (records // self.hot) for i in range(count)]
        calls: list[tuple[Any, ...]]
        if verb == "set":
            self.turn += 1
            calls = [
                (data.key(number), self.values[(i // self.hot + self.turn) % data.POOL])
                for i, number in enumerate(numbers)
            ]
        elif verb == "get":
            calls = [(data.key(n),) for n in numbers]
        else:
            calls = [(data.prefix(n),) for n in numbers]
        gc.collect()
        return store.time(verb, calls) / count

    def close(self) -> None:
        if "large" in self.stores:
            self.stores["large"][0].close()


class Memory(Scenario):
    """Resident memory of a new process: with a store open and idle, and its peak while it walks a namespace."""

    name = "memory"
    title = "resident memory"
    unit = "B"
    contenders = ("interpreter", "ours", "sqlite3", "diskcache", "langgraph", "lmdb")
    measures = ("idle", "items")
    fresh = True

    def rounds(self) -> int:
        return min(3, self.plan.few_rounds)

    def supports(self, peer: type[Peer]) -> bool:
        return True

    def prepare(self, peer: Peer) -> dict[str, Any]:
        if peer.name != "interpreter":
            peer.fill(0, self.plan.all, data.pool(data.LARGE_BYTES))
        return {}

    def idle(self, peer: Peer) -> float:
        return memory.resident_bytes()

    def items(self, peer: Peer) -> float:
        """How far resident memory rises above that of the store at rest while all its values pass by."""
        if not peer.has("items"):
            raise NotImplementedError
        items: Callable[[], Iterator[tuple[str, Any]]] = peer.items  # type: ignore[attr-defined]
        # One look first: what a first call loads is the store's, not the walk's.
        expect(next(items())[0], data.key(0), "the first key")
        before = memory.resident_bytes()
        memory.reset_peak()
        expect(sum(1 for _ in items()), self.plan.all, "records")
        return max(0, memory.peak_bytes() - before)
