"""The cache of values that were read, mostly from Rust: what is measured there is small beside a call from Python."""

from __future__ import annotations

import random
from typing import Any

import data
import memory
from contenders import Peer
from contenders.ours import OursRust
from scenario import Plan, Repeated, Scenario, expect


class Cold(Repeated):
    """Reads in turn of far more records than a small cache holds or remembers to have missed: it has none of those to
    come."""

    name = "cold"
    verb = "get"
    contenders = ("ours-full", "ours-uncached", "ours-rust-full", "ours-rust-uncached")

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.records = plan.cold
        self.title = f"get of what is not in the cache, {self.records:,} x 200 B in turn"

    def calls(self, count: int) -> list[tuple[Any, ...]]:
        self.done += count
        return [(data.key(i % self.records),) for i in range(self.done - count, self.done)]

    def measure(self, name: str, peer: Peer) -> float:
        cost = super().measure(name, peer)
        if isinstance(peer, OursRust):
            # Chance decides what a full cache keeps: one in a thousand would change nothing.
            expect(peer.hits() <= self.done // 1_000, True, "hardly any hits")
        return cost


class Hit(Scenario):
    """A hit with the verb, as an agent; the same without counting it; and what the cache takes of that."""

    name, title = "hit", "hot get from Rust, 200 B"
    contenders = ("ours-rust", "ours-rust-uncached", "raw-sqlite")
    measures = ("get", "uncounted", "cache")
    hot = 100

    def supports(self, peer: type[Peer]) -> bool:
        return peer.has("get")

    def prepare(self, peer: Peer) -> dict[str, Any]:
        values = data.pool(data.SMALL_BYTES)
        peer.fill(0, 1_000, values)
        self.times = 3
        self.get(peer)
        expect(peer.last, len(data.encode(values[2]).encode()), "bytes read")
        self.times = 20_000
        self.times = max(100, min(200_000, int(self.plan.slice_seconds / self.get(peer))))
        return {"calls": self.times}

    def get(self, peer: Peer) -> float:
        self.get_all_of(peer, self.hot)
        return self.get_all_of(peer, self.times) / self.times

    def get_all_of(self, peer: Peer, times: int) -> float:
        return peer.time("get", [(key,) for key in self.keys(times)])

    def uncounted(self, peer: Peer) -> float:
        return self.read_in(peer, "administrator")

    def cache(self, peer: Peer) -> float:
        if peer.name != "ours-rust":
            raise NotImplementedError
        return self.read_in(peer, "cache")

    def read_in(self, peer: Peer, way: str) -> float:
        if not isinstance(peer, OursRust):
            raise NotImplementedError
        self.get_all_of(peer, self.hot)
        return peer.read_in(way, self.keys(self.times)) / self.times

    def keys(self, count: int) -> list[str]:
        return [data.key(i % self.hot) for i in range(count)]


class Mixed(Scenario):
    """One write in ten operations, on the keys that are read. Reads are timed by themselves: how long a write takes is
    the disk's affair, and would hide them."""

    name = "mixed"
    title = "nine gets and a set in turn from Rust, 200 B"
    contenders = ("ours-rust", "ours-rust-uncached")
    measures = ("get", "set")
    hot = 100
    operations = 5_000

    def prepare(self, peer: Peer) -> dict[str, Any]:
        self.rng = random.Random(5)
        self.values = data.pool(data.SMALL_BYTES)
        self.texts = [data.encode(value) for value in self.values]
        self.writing = 0.0
        peer.fill(0, 1_000, self.values)
        self.get(peer)
        return {}

    def get(self, peer: Peer) -> float:
        assert isinstance(peer, OursRust)
        reads = self.operations * 9 // 10
        reading, writing = peer.mixed([self.operation(i) for i in range(self.operations)])
        self.writing = writing / (self.operations - reads)
        return reading / reads

    def set(self, peer: Peer) -> float:
        """In the run before."""
        return self.writing

    def operation(self, number: int) -> tuple[str, ...]:
        key = data.key(self.rng.randrange(self.hot))
        return (key, self.rng.choice(self.texts)) if number % 10 == 9 else (key,)


class Threads(Scenario):
    """Two threads against one alone: each with keys of its own, and both with the same, where they are in each other's
    way at every read."""

    name = "threads"
    title = "hot gets a second from Rust, 200 B"
    unit = "/s"
    contenders = ("ours-rust", "ours-rust-uncached")
    measures = ("one", "two", "two_on_the_same")

    def supports(self, peer: type[Peer]) -> bool:
        return issubclass(peer, OursRust)

    def prepare(self, peer: Peer) -> dict[str, Any]:
        peer.fill(0, 1_000, data.pool(data.SMALL_BYTES))
        self.keys = [[data.key(thread * 100 + i) for i in range(100)] for thread in range(2)]
        self.two(peer)
        return {}

    def one(self, peer: Peer) -> float:
        return self.read_on(peer, self.keys[:1])

    def two(self, peer: Peer) -> float:
        return self.read_on(peer, self.keys)

    def two_on_the_same(self, peer: Peer) -> float:
        same = self.keys[0]
        return self.read_on(peer, [same, same[50:] + same[:50]])

    def read_on(self, peer: Peer, keys: list[list[str]]) -> float:
        assert isinstance(peer, OursRust)
        return peer.read_on(keys, self.plan.slice_seconds)


class CacheMemory(Scenario):
    """How far resident memory rises while more is read than the cache may hold, which is 64 MiB."""

    name = "cache_memory"
    title = "memory of a full cache"
    unit = "B"
    contenders = ("ours-rust", "ours-rust-uncached")
    measures = ("small", "large")
    fresh = True

    def rounds(self) -> int:
        return min(3, self.plan.few_rounds)

    def supports(self, peer: type[Peer]) -> bool:
        return issubclass(peer, OursRust)

    def prepare(self, peer: Peer) -> dict[str, Any]:
        peer.fill(0, self.plan.cached_small, data.pool(data.SMALL_BYTES))
        peer.fill(self.plan.cached_small, self.plan.cached_large, data.pool(data.LARGE_BYTES))
        return {"small": self.plan.cached_small, "large": self.plan.cached_large}

    def small(self, peer: Peer) -> float:
        return self.rise(peer, 0, self.plan.cached_small)

    def large(self, peer: Peer) -> float:
        return self.rise(peer, self.plan.cached_small, self.plan.cached_large)

    def rise(self, peer: Peer, start: int, count: int) -> float:
        assert isinstance(peer, OursRust)
        # Without a write since the file was opened there is no cache; and what a first call loads is the store's.
        peer.time("set", [(data.key(start), None)])
        peer.read_twice(start, 1)
        before = memory.resident_bytes_of(peer.program.pid)
        peer.read_twice(start, count)
        return memory.resident_bytes_of(peer.program.pid) - before
