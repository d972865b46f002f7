"""Agent Data Store itself, as its users open it."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from contenders.base import Peer, Unavailable
from contenders.program import TARGET, Program


class Ours(Peer):
    name = "ours"
    title = "Agent Data Store"
    synced = True
    query = ""

    # Bound to the store's own methods, so that no wrapper is timed.
    verbs = (
        "get", "set", "set_many", "get_many", "get_all", "list_keys", "list_namespaces", "items", "clear",
        "increment", "get_or_compute", "lock", "claim",
    )  # fmt: skip

    def open(self) -> None:
        try:
            import agent_data_store
        except ImportError as error:
            raise Unavailable(f"agent_data_store is not installed: {error}") from None
        url = f"sqlite://{self.folder / 'store.db'}{self.query}"
        self.store = agent_data_store.connect(url, user="bench", agent="bench", namespace=self.space)
        self.bind()

    def bind(self) -> None:
        view = self.store.use_namespace(self.space)
        for verb in self.verbs:
            setattr(self, verb, getattr(view, verb))

    def close(self) -> None:
        self.store.close()

    def versions(self) -> dict[str, str]:
        return {"agent-data-store": version("agent-data-store")}


class OursRelaxed(Ours):
    name = "ours-relaxed"
    title = "Agent Data Store, relaxed"
    synced = False
    query = "?durability=relaxed"
    note = "durability=relaxed: the last writes may be lost in a power cut"


class OursUncached(Ours):
    name = "ours-uncached"
    title = "Agent Data Store, no cache"
    query = "?cache_bytes=0"
    note = "cache_bytes=0: every read is one of SQLite's"


class OursUnchecked(OursRelaxed):
    name = "ours-unchecked"
    title = "Agent Data Store, relaxed, secrets=allow"
    query = "?durability=relaxed&secrets=allow"
    note = "secrets=allow: nobody looks for likely credentials in what is written"


class OursFull(Ours):
    """With a cache that the records of `Cold` do not fit into, and those of others neither: every read is a miss."""

    name = "ours-full"
    title = "Agent Data Store, cache full"
    query = f"?cache_bytes={512 << 10}"
    note = "cache_bytes=524288: every read of the row is one of SQLite's, and takes the place of another"


class OursRust(Program):
    name = "ours-rust"
    title = "Agent Data Store, from Rust"
    synced = False
    note = "the crate without Python, durability=relaxed"
    path = TARGET / "release" / "bench-native"
    verbs = ("get", "set")
    cache_bytes = 64 << 20

    def arguments(self) -> list[str]:
        return [str(self.cache_bytes)]

    def mixed(self, calls: list[tuple[Any, ...]]) -> tuple[float, float]:
        """Seconds that reads and writes took, of calls with a key alone and calls with a value's text."""
        answer = self.ask("mixed", calls=calls)
        return answer["reading"], answer["seconds"] - answer["reading"]

    def read_in(self, way: str, keys: list[str]) -> float:
        """Seconds that reading these keys takes, by an administrator or from the cache alone."""
        return self.ask("get", calls=[(key,) for key in keys], way=way)["seconds"]

    def read_on(self, keys: list[list[str]], seconds: float) -> float:
        """Reads a second that threads make together, each of its own keys."""
        return self.ask("read_on", keys=keys, during=seconds)["per_second"]

    def read_twice(self, start: int, count: int) -> None:
        """Reads so many records, each twice in a row."""
        self.ask("read_twice", start=start, count=count)

    def hits(self) -> int:
        return self.ask("cache")["hits"]

    def versions(self) -> dict[str, str]:
        return {"agent-data-store (Rust)": self.ask("version")["version"]}


class OursRustUncached(OursRust):
    name = "ours-rust-uncached"
    title = "Agent Data Store, from Rust, no cache"
    cache_bytes = 0


class OursRustFull(OursRust):
    name = "ours-rust-full"
    title = "Agent Data Store, from Rust, cache full"
    note = OursFull.note
    cache_bytes = 512 << 10
