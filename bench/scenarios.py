"""What is measured: one class a scenario, in the order of the table."""

from __future__ import annotations

import gc
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import data
import memory
from contenders import Peer
from scenario import Plan, Repeated, Scenario, expect, size

READERS = ("ours", "ours-uncached", "raw-sqlite", "jiter", "sqlite3", "diskcache", "langgraph", "lmdb", "redis")
WRITERS = ("ours", "ours-uncached", "raw-sqlite", "fdatasync", "fdatasync-append", "sqlite3", "diskcache", "langgraph",
           "lmdb", "redis", "ours-relaxed", "diskcache-default")  # fmt: skip
STORES = ("ours", "sqlite3", "diskcache", "langgraph", "lmdb", "redis")


class Get(Repeated):
    verb = "get"
    contenders = READERS
    hot = 100

    def calls(self, count: int) -> list[tuple[Any, ...]]:
        return [(data.key(i % self.hot),) for i in range(count)]

    def check(self, peer: Peer) -> None:
        if peer.name != "raw-sqlite":
            expect(peer.last, self.values[2], "get")
        else:
            expect(peer.last, len(data.encode(self.values[2]).encode()), "bytes read")


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
        # Never the value that is already there: SQLite leaves a page alone that would not change, and syncs nothing.
        numbers = range(self.done, self.done + count)
        self.done += count
        return [(data.key(i % self.records), self.values[(i // self.records + i + 1) % data.POOL]) for i in numbers]


class Set200(Set):
    name, title = "set_200", "one durable set, 200 B"


class Set4k(Set):
    name, title = "set_4k", "one durable set, 4 KB"
    value_bytes = data.LARGE_BYTES


class Disk(Set):
    """The disk's own speed, taken every round beside each scenario that waits for it. Not a row."""

    name, title = "disk", "4 KB write + fdatasync"
    contenders = ("fdatasync",)


class Writers(Scenario):
    """Threads that all set at once, against one alone."""

    name = "writers"
    title = "durable sets a second, 200 B"
    unit = "/s"
    contenders = STORES
    measures = ("one", "together")
    writes = True

    def rounds(self) -> int:
        return self.plan.few_rounds

    def supports(self, peer: type[Peer]) -> bool:
        return peer.has("set")

    def prepare(self, peer: Peer) -> dict[str, Any]:
        self.values = data.pool(data.SMALL_BYTES)
        peer.fill(0, self.plan.threads * 100, self.values)
        self.turn = 0
        self.together(peer)
        return {}

    def one(self, peer: Peer) -> float:
        return self.run(peer, 1)

    def together(self, peer: Peer) -> float:
        return self.run(peer, self.plan.threads)

    def run(self, peer: Peer, threads: int) -> float:
        gc.collect()
        counts = [0] * threads
        self.turn += 1
        failures: list[BaseException] = []
        start = threading.Barrier(threads + 1)
        deadline = 0.0

        def write(thread: int) -> None:
            setter, values = peer.set, self.values  # type: ignore[attr-defined]
            keys = [data.key(thread * 100 + i) for i in range(100)]
            done = 0
            start.wait()
            try:
                while time.perf_counter() < deadline:
                    setter(keys[done % 100], values[(done + self.turn) % data.POOL])
                    done += 1
            except BaseException as error:
                failures.append(error)
            counts[thread] = done

        workers = [threading.Thread(target=write, args=(thread,)) for thread in range(threads)]
        for worker in workers:
            worker.start()
        started = time.perf_counter()
        deadline = started + self.plan.threads_seconds
        start.wait()
        for worker in workers:
            worker.join()
        if failures:
            raise failures[0]
        return sum(counts) / (time.perf_counter() - started)


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
    name = "get_all"
    verb = "get_all"

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.records = plan.all
        self.title = f"get_all, {self.records:,} x 4 KB"

    def calls(self, count: int) -> list[tuple[Any, ...]]:
        return [()] * min(count, 1)

    def check(self, peer: Peer) -> None:
        expect(size(peer.last), self.records, "records")

    def slice_seconds(self) -> float:
        return 0


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
        os.sync()
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
        os.sync()
        for measure in self.measures:
            self.times[measure] = 5
            took = self.measure(measure, peer)
            budget = self.plan.writing_seconds if "set" in measure else self.plan.slice_seconds
            self.times[measure] = max(10, min(20_000, int(budget / took)))
        return {"records": built, "building_seconds": seconds}

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


SCENARIOS: dict[str, type[Scenario]] = {
    scenario.name: scenario
    for scenario in (
        Get200, Get4k, Miss, Set200, Set4k, Writers, SetMany, GetMany, GetAll, ListKeys, ListNamespaces, Clear,
        Growth, Memory, Disk,
    )
}  # fmt: skip
