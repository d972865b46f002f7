"""What every scenario is: prepared once inside a contender's own process, then measured round after round.

Each measure returns one number: seconds for one operation, operations per second, or bytes.
"""

from __future__ import annotations

import gc
import random
from dataclasses import dataclass
from typing import Any

import data
from contenders import Peer


@dataclass(frozen=True)
class Plan:
    """How much of everything: whole runs and quick ones differ in nothing else."""

    rounds: int = 11
    few_rounds: int = 5
    slice_seconds: float = 0.06
    writing_seconds: float = 0.12
    threads: int = 64
    threads_seconds: float = 0.4
    load_seconds: float = 0.5
    many: int = 1_000
    all: int = 10_000
    listed_among: int = 100_000
    cold: int = 50_000
    cached_small: int = 400_000
    cached_large: int = 40_000
    tasks_few: int = 1_000
    tasks_many: int = 100_000
    namespaces: int = 1_000
    per_namespace: int = 1_000
    growth_small: int = 10_000
    growth_large: int = 10_000_000
    growth_seconds: float = 300

    def quick(self) -> Plan:
        return Plan(
            rounds=3, few_rounds=2, slice_seconds=0.02, writing_seconds=0.03, threads_seconds=0.15, load_seconds=0.2,
            namespaces=100, per_namespace=100, listed_among=20_000, all=2_000, cached_small=200_000,
            cached_large=20_000, tasks_many=10_000,
            growth_large=min(self.growth_large, 100_000), growth_seconds=20,
        )  # fmt: skip


class WrongResult(Exception):
    """A contender answered something other than what was stored: its time means nothing."""


def expect(found: Any, wanted: Any, what: str) -> None:
    if found != wanted:
        raise WrongResult(f"{what}: expected {str(wanted)[:80]}, found {str(found)[:80]}")


def overwriting(start: int, count: int, records: int, values: list[Any]) -> list[tuple[Any, ...]]:
    """`count` calls of `set` from the `start`th on, in turn on so many records. Never with the value that is already
    there: SQLite leaves a page alone that would not change, and syncs nothing."""
    return [(data.key(i % records), values[(i // records + i + 1) % len(values)]) for i in range(start, start + count)]


def size(result: Any) -> int:
    return result if isinstance(result, int) else len(result)


class Scenario:
    """Prepare once, then measure round after round."""

    name = ""
    title = ""
    unit = "s"
    contenders: tuple[str, ...] = ()
    measures: tuple[str, ...] = ()
    # What a measurement leaves to be written is written before the next contender's turn.
    writes = False
    # A new process for every measurement, on the data that the first one prepared.
    fresh = False
    # How many processes a contender's rounds are spread over, each with data of its own: where memory happens to lie
    # can make a quarter of what a process takes for short work.
    processes = 1

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        # Of measures that have another one.
        self.units: dict[str, str] = {}

    def rounds(self) -> int:
        return self.plan.rounds

    def supports(self, peer: type[Peer]) -> bool:
        return all(peer.has(measure) for measure in self.measures)

    def prepare(self, peer: Peer) -> dict[str, Any]:
        """Fill the store, look at what comes back, warm up. What it returns goes into the results."""
        raise NotImplementedError

    def measure(self, name: str, peer: Peer) -> float:
        """One of `measures`, once."""
        return getattr(self, name)(peer)

    def close(self) -> None:
        """Ends what `prepare` has started."""


class Repeated(Scenario):
    """One verb, as often as fits into a slice of time."""

    verb = ""
    records = 1_000
    value_bytes = data.SMALL_BYTES

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.measures = (self.verb,)
        self.times = 1
        self.done = 0
        self.rng = random.Random(7)

    def slice_seconds(self) -> float:
        return self.plan.slice_seconds

    def calls(self, count: int) -> list[tuple[Any, ...]]:
        raise NotImplementedError

    def check(self, peer: Peer) -> None: ...

    def prepare(self, peer: Peer) -> dict[str, Any]:
        self.values = data.pool(self.value_bytes)
        peer.fill(0, self.records, self.values)
        peer.time(self.verb, self.calls(3))
        self.check(peer)
        # How many calls fill a slice: twice, because the first ones are slow.
        for _ in range(2 if self.slice_seconds() else 0):
            self.times = max(10, self.times)
            seconds = peer.time(self.verb, self.calls(self.times))
            self.times = max(10, min(200_000, int(self.times * self.slice_seconds() / max(seconds, 1e-7))))
        return {"calls": self.times}

    def measure(self, name: str, peer: Peer) -> float:
        # Other processes ran since the last slice: get our pages and code back into the processor's caches.
        warming = self.calls(self.times // 20)
        calls = self.calls(self.times)
        gc.collect()
        if warming:
            peer.time(self.verb, warming)
        return peer.time(self.verb, calls) / self.times
