"""The server: many connections that ask at once, and one call from Python."""

from __future__ import annotations

import itertools
from typing import Any

import data
from contenders import Peer
from contenders.load import Requests
from scenario import Plan, Scenario, expect
from scenarios.single import Get

SERVERS = ("ours-remote", "ours-postgres-remote", "redis")
CONNECTIONS = (1, 16, 64)


class Load(Scenario):
    """Answers a second over so many connections, and how long they took. `bench-load` asks, each connection again as
    soon as it is answered."""

    unit = "/s"
    contenders = SERVERS
    records = 1_000
    writes = True
    # Beside the load itself: the server's cheapest answer.
    floor = False

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.measures = tuple(f"at_{each}" for each in CONNECTIONS)
        times = [f"{percentile}_at_{each}" for percentile in ("p50", "p99") for each in CONNECTIONS]
        self.units = dict.fromkeys(times, "s")
        self.measures += tuple(times)
        if self.floor:
            self.measures += tuple(f"health_at_{each}" for each in CONNECTIONS)
        self.taken: dict[int, dict[str, Any]] = {}

    def rounds(self) -> int:
        return self.plan.few_rounds

    def supports(self, peer: type[Peer]) -> bool:
        return peer.has("load")

    def requests(self) -> Requests:
        raise NotImplementedError

    def check(self, sample: str) -> None:
        """Looks at the answer to the first request."""

    def reads(self) -> Requests:
        return [("read", [(data.key(i), None)]) for i in range(self.records)]

    def sets(self) -> Requests:
        """Never with the value that is there."""
        turns = itertools.product(range(3), range(self.records))
        return [("write", [(data.key(i), self.values[(i + turn + 1) % data.POOL])]) for turn, i in turns]

    def prepare(self, peer: Peer) -> dict[str, Any]:
        self.values = data.pool(data.SMALL_BYTES)
        peer.fill(0, self.records, self.values)
        self.check(self.run(peer, self.requests(), CONNECTIONS[-1])["sample"])
        return {}

    def run(self, peer: Peer, requests: Requests, connections: int) -> dict[str, Any]:
        return peer.load(requests, connections, self.plan.load_seconds)  # type: ignore[attr-defined]

    def measure(self, name: str, peer: Peer) -> float:
        what, _, connections = name.rpartition("at_")
        match what:
            case "":
                self.taken[int(connections)] = taken = self.run(peer, self.requests(), int(connections))
                return taken["per_second"]
            case "health_":
                return self.run(peer, [("health", [])], int(connections))["per_second"]
        # In the run before.
        return self.taken[int(connections)][what.rstrip("_")]


class HttpRead(Load):
    name, title = "http_read", "reads over the network, 200 B"
    writes = False
    floor = True

    def requests(self) -> Requests:
        return self.reads()

    def check(self, sample: str) -> None:
        expect(data.encode(self.values[0]) in sample, True, "the value in the answer")


class HttpWrite(Load):
    name, title = "http_write", "durable writes over the network, 200 B"

    def requests(self) -> Requests:
        return self.sets()


class HttpMixed(Load):
    name, title = "http_mixed", "9 reads and 1 durable write over the network, 200 B"

    def requests(self) -> Requests:
        reads = itertools.cycle(self.reads())
        return [each for write in self.sets() for each in (*itertools.islice(reads, 9), write)]


class HttpReadMany(Load):
    name, title = "http_read_many", "reads of 100 records over the network, 200 B"
    writes = False

    def requests(self) -> Requests:
        return [("read", [item for _, items in group for item in items]) for group in batches(self.reads())]


class HttpWriteMany(Load):
    name, title = "http_write_many", "durable batches of 100 writes over the network, 200 B"

    def requests(self) -> Requests:
        return [("write", [item for _, items in group for item in items]) for group in batches(self.sets())]


def batches(requests: Requests) -> list[Any]:
    each = list(requests)
    return [each[first : first + 100] for first in range(0, len(each), 100)]


class RemoteGet(Get):
    name, title = "remote_get", "get over the network from Python, 200 B"
    contenders = ("ours-remote", "redis", "redis-json")
    processes = 1
