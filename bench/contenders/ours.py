"""Agent Data Store itself, as its users open it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import data
from contenders.base import Peer, Unavailable
from contenders.load import Requests, ask
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
        url, token = self.place()
        self.store = agent_data_store.connect(url, user="bench", agent="bench", namespace=self.space, token=token)
        self.bind()

    def place(self) -> tuple[str, str | None]:
        """The store's URL, and a token where one is needed."""
        return f"sqlite://{self.folder / 'store.db'}{self.query}", None

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


class OursRemote(Ours):
    """`ads serve` over the store, and a client of it: in Python, or as many connections as are asked for."""

    name = "ours-remote"
    title = "Agent Data Store on a server"
    note = "`ads serve` on loopback as it is, but for its log, which nobody keeps; every request shows a token"
    program = Path(sys.executable).with_name("ads")

    def place(self) -> tuple[str, str | None]:
        store = ["--store", super().place()[0], "--json"]
        created = [self.program, "token", "create", "--user", "bench", "--write", *store]
        self.token = json.loads(subprocess.run(created, check=True, capture_output=True).stdout)["secret"]
        serving = [self.program, "serve", "--listen", "127.0.0.1:0", *store]
        self.server = subprocess.Popen(serving, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.server.stdout
        line = self.server.stdout.readline()
        if not line:
            raise Unavailable("ads serve did not start")
        self.url: str = json.loads(line)["url"]
        return self.url, self.token

    def load(self, requests: Requests, connections: int, seconds: float) -> dict[str, Any]:
        texts = [self.request(*each) for each in requests]
        return ask(urlsplit(self.url).netloc, "http", texts, connections, seconds)

    def request(self, kind: str, items: Iterable[tuple[str, Any]]) -> str:
        """What is asked of the server, as it goes over the wire."""
        records = f"/data-store/namespaces/{self.space}/records"
        match kind, list(items):
            case "health", _:
                return self.http("GET", "/health")
            case "read", [(key, _)]:
                return self.http("GET", f"{records}/{quote(key, safe='')}?view=value")
            case "read", many:
                wanted = {"namespace": self.space, "keys": [key for key, _ in many]}
                return self.http("POST", "/data-store/read", {"records": [wanted], "view": "value"})
            case "write", [(key, value)]:
                return self.http("PUT", f"{records}/{quote(key, safe='')}", {"value": value})
            case "write", many:
                writes = [{"op": "set", "namespace": self.space, "key": key, "value": value} for key, value in many]
                return self.http("POST", "/data-store/batch", {"writes": writes})
        raise NotImplementedError(kind)

    def http(self, method: str, path: str, body: Any = None) -> str:
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {urlsplit(self.url).netloc}\r\nAuthorization: Bearer {self.token}\r\n"
            "X-Agent-Name: bench\r\n"
        )
        if body is None:
            return head + "\r\n"
        text = data.encode(body)
        return f"{head}Content-Type: application/json\r\nContent-Length: {len(text.encode())}\r\n\r\n{text}"

    def close(self) -> None:
        super().close()
        self.server.terminate()
        self.server.wait()


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
