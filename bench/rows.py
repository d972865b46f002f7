"""The rows of the table: what each compares, and the target it is held against."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from typing import Any

# results[scenario][measure][contender]: one number a round
Results = dict[str, dict[str, dict[str, list[float]]]]

FLOORS = (
    "raw-sqlite",
    "raw-sqlite-kept",
    "raw-sqlite-checkpointing",
    "raw-postgres",
    "fdatasync",
    "fdatasync-append",
    "jiter",
    "interpreter",
)
# Shown, but never held against a store that makes its writes durable.
UNSYNCED = ("ours-relaxed", "ours-unchecked", "diskcache-default")


@dataclass(frozen=True)
class Against:
    """The costs of these contenders, added up round by round; `measure` where it is not the row's own."""

    contenders: tuple[str, ...]
    measure: str | None = None
    difference: bool = False


@dataclass(frozen=True)
class EveryPeer:
    """Each peer by itself: the row shows the one that comes closest to us, or furthest ahead."""

    but: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    scenario: str
    measure: str
    against: Against | EveryPeer | None = None
    at_most: float | None = None
    at_least: float | None = None
    note: str = ""
    contender: str = "ours"


RAW = Against(("raw-sqlite",))
RAW_CHECKPOINTING = Against(("raw-sqlite-checkpointing",))
UNCACHED = Against(("ours-uncached",))
RUST_UNCACHED = Against(("ours-rust-uncached",))
LMDB = Against(("lmdb",))
LANGGRAPH = Against(("langgraph-postgres",))
RAW_AND_PARSE = Against(("raw-sqlite", "jiter"))
BUT_LMDB = EveryPeer(but=("lmdb",))

ROWS = (
    # A read from the cache does not ask SQLite at all, so what we add to SQLite's own cost shows without the cache.
    Row("get_200", "get", RAW_AND_PARSE, at_most=1.5),
    Row("get_200", "get", RAW_AND_PARSE, at_most=1.5, contender="ours-uncached", note="cache off"),
    Row("get_200", "get", BUT_LMDB, at_most=1.0),
    Row("get_200", "get", LMDB, at_most=0.9),
    Row("get_4k", "get", RAW_AND_PARSE, at_most=1.5),
    Row("get_4k", "get", RAW_AND_PARSE, at_most=1.5, contender="ours-uncached", note="cache off"),
    Row("get_4k", "get", BUT_LMDB, at_most=1.0),
    Row("get_4k", "get", LMDB, at_most=0.9),
    Row("miss", "get", RAW, at_most=1.5),
    Row("miss", "get", RAW, at_most=1.5, contender="ours-uncached", note="cache off"),
    Row("miss", "get", BUT_LMDB, at_most=1.0),
    Row("miss", "get", UNCACHED, at_most=1.1),
    Row("cold", "get", UNCACHED, at_most=1.1, contender="ours-full"),
    Row("cold", "get", RUST_UNCACHED, at_most=1.1, contender="ours-rust-full", note="from Rust"),
    Row("hit", "get", at_most=100e-9, contender="ours-rust"),
    Row("hit", "cache", at_most=100e-9, contender="ours-rust"),
    Row("mixed", "get", RUST_UNCACHED, at_most=0.2, contender="ours-rust", note="the gets alone"),
    Row("threads", "two", Against(("ours-rust",), "one"), at_least=1.5, contender="ours-rust"),
    Row("threads", "two_on_the_same", Against(("ours-rust",), "one"), contender="ours-rust", note="shown, no target"),
    *(
        Row(
            "cache_memory",
            size,
            Against(("ours-rust-uncached",), difference=True),
            at_most=64 * 2**20,
            contender="ours-rust",
        )
        for size in ("small", "large")
    ),
    Row("set_200", "set", RAW, at_most=1.15),
    Row("set_200", "set", RAW, at_most=1.15, contender="ours-uncached", note="cache off"),
    Row("set_200", "set", Against(("fdatasync",)), at_most=1.3, note="only on a quiet disk"),
    Row("set_4k", "set", RAW, at_most=1.15),
    *(Row(name, "set", RAW_CHECKPOINTING, at_most=1.15, note="checkpoints timed") for name in ("set_200", "set_4k")),
    *(
        Row("credentials", size, Against(("ours-unchecked",)), contender="ours-relaxed", note="shown, no target")
        for size in ("set_200", "set_4k")
    ),
    Row("writers", "together", Against(("ours",), "one"), at_least=6),
    Row("set_many", "set_many", BUT_LMDB, at_most=1.0),
    Row("get_many", "get_many", EveryPeer(), at_most=1.0),
    Row("get_all", "get_all", EveryPeer(), at_most=0.5),
    Row("list_keys", "list_keys", at_most=40e-6),
    Row("list_namespaces", "list_namespaces", at_most=1e-3),
    Row("clear", "clear", Against(("ours",), "set"), at_most=2),
    Row("increment", "increment", Against(("ours",), "set"), at_most=1.2),
    Row("counters", "together", RAW, at_least=0.8),
    Row("counters", "together", RAW, contender="raw-sqlite-kept", note="a floor: all kept, against the number alone"),
    Row("counters", "together", Against(("raw-sqlite-kept",)), note="all kept in both"),
    Row("counters", "slower", Against(("ours",), "together"), at_least=1 / 3),
    Row("lock", "lock", Against(("ours",), "set"), at_most=2.5),
    Row("claim", "many", Against(("ours",), "few"), at_most=3),
    Row("get_or_compute", "get_or_compute", Against(("ours",), "get"), at_most=1.2),
    *(
        Row(
            "http_read",
            f"at_{connections}",
            Against(("ours-remote",), f"health_at_{connections}"),
            at_least=0.7,
            contender="ours-remote",
        )
        for connections in (1, 16, 64)
    ),
    Row("http_write", "at_64", Against(("ours-remote",), "at_1"), at_least=6, contender="ours-remote"),
    *(
        Row(load, "at_64", Against(("redis",)), contender="ours-remote", note="shown, no target")
        for load in ("http_read", "http_write", "http_mixed", "http_read_many", "http_write_many")
    ),
    Row("remote_get", "get", Against(("redis-json",)), at_most=1.0, contender="ours-remote"),
    Row("remote_get", "get", Against(("redis",)), contender="ours-remote", note="orjson; shown, no target"),
    *(
        Row("mcp", f"get_{transport}", Against(("ours",), f"empty_{transport}"), at_most=1.3)
        for transport in ("stdio", "http")
    ),
    *(
        Row("growth", f"{call}_large", Against(("ours",), f"{call}_small"), at_most=2.5)
        for call in ("hot_get", "get", "hot_set", "set", "hot_list_keys", "list_keys")
    ),
    *(
        Row(f"pg_{verb}", verb, LANGGRAPH, at_most=1.0, contender="ours-postgres")
        for verb in ("get", "set", "set_many", "get_all", "list_namespaces")
    ),
    Row("pg_list_keys", "list_keys", Against(("langgraph-postgres-prefix",)), at_most=1.0, contender="ours-postgres"),
    Row("pg_clear", "clear", LANGGRAPH, at_most=1 / 3, contender="ours-postgres"),
    Row("pg_writers", "together", LANGGRAPH, at_least=1.0, contender="ours-postgres"),
    Row("pg_writers", "together", Against(("ours-postgres",), "one"), at_least=4, contender="ours-postgres"),
    Row(
        "pg_writers",
        "together",
        Against(("raw-postgres",), "one"),
        contender="raw-postgres",
        note="a floor: as it scales",
    ),
    *(
        Row(
            "pg_growth",
            f"{call}_large",
            Against(("ours-postgres",), f"{call}_small"),
            at_most=2.5,
            contender="ours-postgres",
        )
        for call in ("hot_get", "get", "hot_set", "set", "hot_list_keys", "list_keys")
    ),
    Row("memory", "items", at_most=20e6),
    Row("memory", "idle", Against(("interpreter",), difference=True), at_most=15e6),
)


@dataclass
class Verdict:
    """A row with this run's numbers. `value` is what the target is about; `low` and `high` its middle half."""

    row: Row
    cost: float | None = None
    base_name: str = ""
    base: float | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    missing: str = ""
    # Why the value may be the machine's rather than ours.
    doubt: str = ""

    @property
    def met(self) -> bool | None:
        if self.value is None or (self.row.at_most is None and self.row.at_least is None):
            return None
        over = self.row.at_most is not None and self.value > self.row.at_most
        under = self.row.at_least is not None and self.value < self.row.at_least
        return not (over or under)

    @property
    def certain(self) -> bool:
        """Neither a busy disk nor a target in the midst of what the rounds gave."""
        bound = self.row.at_most if self.row.at_most is not None else self.row.at_least
        if self.doubt or bound is None or self.low is None or self.high is None:
            return not self.doubt
        return not self.low <= bound <= self.high

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "met": self.met, "certain": self.certain}


def judge(results: Results, row: Row) -> Verdict:
    """Ratios are taken round by round, between runs moments apart, and their median counts: a busy machine slows
    both sides of a round alike."""
    costs = results.get(row.scenario, {}).get(row.measure, {})
    ours = costs.get(row.contender)
    if not ours:
        return Verdict(row, missing="not run")
    verdict = Verdict(row, cost=statistics.median(ours))
    if row.against is None:
        _spread(verdict, ours)
    elif isinstance(row.against, EveryPeer):
        out = (*FLOORS, *UNSYNCED, *row.against.but)
        peers = {
            name: _ratios(ours, theirs)
            for name, theirs in costs.items()
            if name not in out and not name.startswith("ours") and theirs
        }
        if not peers:
            verdict.missing = "no peer ran"
            return verdict
        worst = max(peers, key=lambda name: statistics.median(peers[name]))
        verdict.base_name, verdict.base = worst, statistics.median(costs[worst])
        _spread(verdict, peers[worst])
    else:
        of = results[row.scenario].get(row.against.measure or row.measure, {})
        parts = [of.get(name) for name in row.against.contenders]
        verdict.base_name = " + ".join(row.against.contenders)
        if row.against.measure:
            of_itself = row.against.contenders == (row.contender,)
            verdict.base_name = row.against.measure if of_itself else f"{row.against.measure} of {verdict.base_name}"
        if not all(parts):
            verdict.missing = f"needs {verdict.base_name}"
            return verdict
        base = [sum(each) for each in zip(*parts, strict=True)]  # type: ignore[arg-type]
        verdict.base = statistics.median(base)
        if row.against.difference:
            _spread(verdict, [a - b for a, b in zip(ours, base, strict=True)])
        else:
            _spread(verdict, _ratios(ours, base))
    return verdict


def busy_disk(about: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Scenarios during which the disk was slower than it was at its best in this run, or uneven."""
    disks = {name: each["disk"] for name, each in about.items() if each.get("disk")}
    best = min((min(syncs) for syncs in disks.values()), default=0.0)
    found = {}
    for name, syncs in disks.items():
        low, high = quartiles(syncs)
        slower, spread = statistics.median(syncs) / best, (high - low) / statistics.median(syncs)
        if slower > 1.5 or spread > 0.3:
            found[name] = f"disk {slower:.1f} x its best, uneven by {spread:.0%}"
    return found


def _ratios(ours: list[float], theirs: list[float]) -> list[float]:
    return [a / b for a, b in zip(ours, theirs, strict=True)]


def _spread(verdict: Verdict, values: list[float]) -> None:
    verdict.value = statistics.median(values)
    verdict.low, verdict.high = quartiles(values)


def quartiles(values: list[float]) -> tuple[float, float]:
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high
