"""Several that write at once: threads of one process, and two processes."""

from __future__ import annotations

import gc
import threading
import time
from typing import Any

import data
from contenders import Peer
from processes import Worker
from scenario import Plan, Scenario

STORES = ("ours", "sqlite3", "diskcache", "langgraph", "lmdb", "redis")


class Writers(Scenario):
    """Threads that all set at once, against one alone."""

    name = "writers"
    title = "durable sets a second, 200 B"
    unit = "/s"
    contenders = STORES
    measures = ("one", "together")
    writes = True

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.threads = plan.threads

    def rounds(self) -> int:
        return self.plan.few_rounds

    def supports(self, peer: type[Peer]) -> bool:
        return peer.has("set") or peer.has("write_from")

    def prepare(self, peer: Peer) -> dict[str, Any]:
        self.values = data.pool(data.SMALL_BYTES)
        peer.fill(0, self.threads * 100, self.values)
        self.turn = 0
        self.together(peer)
        return {}

    def one(self, peer: Peer) -> float:
        return self.run(peer, 1)

    def together(self, peer: Peer) -> float:
        return self.run(peer, self.threads)

    def run(self, peer: Peer, threads: int) -> float:
        if peer.has("write_from"):
            return peer.write_from(threads)  # type: ignore[attr-defined]
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


class Counters(Scenario):
    """Two processes that increment one key, as fast as each can: both together, and the slower of them."""

    name = "counters"
    title = "2 processes incrementing one key"
    unit = "/s"
    contenders = ("ours", "raw-sqlite", "raw-sqlite-kept", "sqlite3", "diskcache", "lmdb")
    measures = ("together", "slower")
    writes = True

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.other: Worker | None = None
        self.rates: list[float] = []

    def supports(self, peer: type[Peer]) -> bool:
        return peer.has("increment")

    def prepare(self, peer: Peer) -> dict[str, Any]:
        peer.time("increment", [("counter",)])
        self.other = Worker(peer.name, self.name, peer.folder, self.plan)
        self.together(peer)
        return {}

    def measure(self, name: str, peer: Peer) -> float:
        if name.startswith("count "):
            # Asked of the other process by `together`.
            _, start, end = name.split()
            return peer.count("counter", float(start), float(end))
        return super().measure(name, peer)

    def together(self, peer: Peer) -> float:
        assert self.other
        seconds = self.plan.threads_seconds
        start = time.time() + 0.05
        self.other.tell(f"count {start!r} {start + seconds!r}")
        counts = [peer.count("counter", start, start + seconds)]
        answer = self.other.answer()
        if "value" not in answer:
            raise RuntimeError(f"the other process: {answer}")
        counts.append(answer["value"])
        self.rates = [count / seconds for count in counts]
        return sum(self.rates)

    def slower(self, peer: Peer) -> float:
        """In the run before."""
        return min(self.rates)

    def close(self) -> None:
        if self.other:
            self.other.close()
