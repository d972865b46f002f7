"""The building blocks, each beside the plain call that it is held against."""

from __future__ import annotations

import gc
import time
from typing import Any

import data
from contenders import Peer
from contenders.ours import Ours
from scenario import Plan, Scenario, expect, overwriting


class BesideSet(Scenario):
    """Something that writes, and in the same round a durable set to hold it against."""

    writes = True
    records = 1_000

    def supports(self, peer: type[Peer]) -> bool:
        return peer.has("set") and all(peer.has(measure) for measure in self.measures)

    def prepare(self, peer: Peer) -> dict[str, Any]:
        self.values = data.pool(data.SMALL_BYTES)
        self.done = 0
        self.count = 10
        peer.fill(0, self.records, self.values)
        seconds = max(self.measure(measure, peer) for measure in self.measures)
        self.count = max(10, int(self.plan.writing_seconds / seconds))
        return {"calls": self.count}

    def set(self, peer: Peer) -> float:
        few = max(1, self.count // 20)
        self.done += few + self.count
        start = self.done - self.count
        peer.time("set", overwriting(start - few, few, self.records, self.values))
        return peer.time("set", overwriting(start, self.count, self.records, self.values)) / self.count


class Increment(BesideSet):
    name, title = "increment", "one durable increment"
    contenders = ("ours", "raw-sqlite", "sqlite3", "diskcache", "lmdb", "redis")
    measures = ("set", "increment")

    def increment(self, peer: Peer) -> float:
        return peer.time("increment", [("counter",)] * self.count) / self.count


class Lock(BesideSet):
    name, title = "lock", "lock + unlock"
    contenders = ("ours",)
    measures = ("set", "lock")

    def lock(self, peer: Peer) -> float:
        assert isinstance(peer, Ours)
        lock = peer.lock
        started = time.perf_counter()
        for _ in range(self.count):
            with lock("resource", 30):
                pass
        return (time.perf_counter() - started) / self.count


class Claims(Scenario):
    """One claim, given back untimed: among few tasks, and among many of which nine in ten are done."""

    name = "claim"
    contenders = ("ours",)
    measures = ("few", "many")
    writes = True

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.title = f"claim, of {plan.tasks_few:,} or {plan.tasks_many:,} tasks"

    def supports(self, peer: type[Peer]) -> bool:
        return peer.has("claim")

    def prepare(self, peer: Peer) -> dict[str, Any]:
        assert isinstance(peer, Ours)
        few, many, done = self.plan.tasks_few, self.plan.tasks_many, self.plan.tasks_many * 9 // 10
        values = data.pool(data.SMALL_BYTES)
        for name, count in (("few", few), ("many", many)):
            peer.namespace(name).fill(0, count, values, chunk=10_000)
        started = time.perf_counter()
        self.work(peer, done)
        seconds = time.perf_counter() - started
        self.views = {name: peer.store.use_namespace(name) for name in self.measures}
        self.first = {"few": data.key(0), "many": data.key(done)}
        self.count = 10
        for name in self.measures:
            summary = self.views[name].tasks()
            expect((summary.waiting, summary.done), (few, 0) if name == "few" else (many - done, done), "tasks")
            self.measure(name, peer)
        self.count = max(10, int(self.plan.writing_seconds / max(self.measure(name, peer) for name in self.measures)))
        return {"done": done, "working_seconds": seconds, "calls": self.count}

    def work(self, peer: Ours, done: int) -> None:
        """Completes the first tasks, without waiting for the disk."""
        import agent_data_store

        url = f"sqlite://{peer.folder / 'store.db'}?durability=relaxed"
        with agent_data_store.connect(url, user="bench", agent="bench", namespace="many") as view:
            for _ in range(done):
                claim = view.claim("", 300)
                assert claim is not None
                claim.complete()

    def measure(self, name: str, peer: Peer) -> float:
        claim, first = self.views[name].claim, self.first[name]
        gc.collect()
        claiming = 0.0
        for _ in range(self.count):
            started = time.perf_counter()
            task = claim("", 300)
            claiming += time.perf_counter() - started
            assert task is not None
            expect(task.key, first, "the first task")
            task.release()
        return claiming / self.count


class Compute(Scenario):
    """Reading what was computed before, with one call as with the other."""

    name, title = "get_or_compute", "hot get_or_compute, 200 B"
    contenders = ("ours",)
    measures = ("get", "get_or_compute")
    hot = 100

    def prepare(self, peer: Peer) -> dict[str, Any]:
        peer.fill(0, 1_000, data.pool(data.SMALL_BYTES))
        self.times = 1_000
        seconds = max(self.measure(measure, peer) for measure in self.measures)
        self.times = max(10, int(self.plan.slice_seconds / seconds))
        return {"calls": self.times}

    def measure(self, name: str, peer: Peer) -> float:
        def compute() -> None:
            raise AssertionError("nothing is to be computed")

        # Both get a second argument, which neither needs.
        second = compute if name == "get_or_compute" else None
        calls = [(data.key(i % self.hot), second) for i in range(self.times)]
        gc.collect()
        peer.time(name, calls[: self.times // 20])
        return peer.time(name, calls) / self.times
