"""Other stores, each set up the way its own users would for this work."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import Any

import data
from contenders.base import Peer, Unavailable
from contenders.load import Requests, ask


class StandardLibrary(Peer):
    """One table, as a careful Python programmer would write it."""

    name = "sqlite3"
    title = "sqlite3 + json"
    synced = True
    note = "WAL, synchronous=FULL; one connection behind a lock"

    def open(self) -> None:
        import sqlite3
        import threading

        self.lock = threading.Lock()
        self.connection = sqlite3.connect(self.folder / "store.db", isolation_level=None, check_same_thread=False)
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("PRAGMA synchronous=FULL")
        self.connection.execute(
            "CREATE TABLE IF NOT EXISTS records (namespace TEXT, key TEXT, value TEXT, UNIQUE (namespace, key))"
        )
        self.run = self.connection.execute

    def versions(self) -> dict[str, str]:
        import sqlite3

        return {"SQLite (sqlite3)": sqlite3.sqlite_version}

    def get(self, key: str, default: Any = None) -> Any:
        with self.lock:
            row = self.run("SELECT value FROM records WHERE namespace=? AND key=?", (self.space, key)).fetchone()
        return json.loads(row[0]) if row else default

    UPSERT = "INSERT INTO records VALUES (?,?,?) ON CONFLICT (namespace, key) DO UPDATE SET value = excluded.value"

    def set(self, key: str, value: Any) -> None:
        text = data.encode(value)
        with self.lock:
            self.run(self.UPSERT, (self.space, key, text))

    def set_many(self, items: dict[str, Any]) -> None:
        rows = [(self.space, key, data.encode(value)) for key, value in items.items()]
        with self.lock:
            self.run("BEGIN IMMEDIATE")
            self.connection.executemany(self.UPSERT, rows)
            self.run("COMMIT")

    def get_many(self, keys: list[str]) -> dict[str, Any]:
        marks = ",".join("?" * len(keys))
        with self.lock:
            rows = self.run(
                f"SELECT key, value FROM records WHERE namespace=? AND key IN ({marks})", (self.space, *keys)
            ).fetchall()
        return {key: json.loads(text) for key, text in rows}

    def get_all(self) -> dict[str, Any]:
        with self.lock:
            rows = self.run("SELECT key, value FROM records WHERE namespace=?", (self.space,)).fetchall()
        return {key: json.loads(text) for key, text in rows}

    def items(self) -> Iterator[tuple[str, Any]]:
        for key, text in self.run("SELECT key, value FROM records WHERE namespace=?", (self.space,)):
            yield key, json.loads(text)

    def list_keys(self, prefix: str) -> list[str]:
        with self.lock:
            rows = self.run(
                "SELECT key FROM records WHERE namespace=? AND key>=? AND key<? ORDER BY key",
                (self.space, prefix, prefix + "\U0010ffff"),
            ).fetchall()
        return [key for (key,) in rows]

    def list_namespaces(self) -> list[str]:
        with self.lock:
            rows = self.run("SELECT DISTINCT namespace FROM records ORDER BY namespace").fetchall()
        return [name for (name,) in rows]

    def clear(self) -> int:
        with self.lock:
            return self.run("DELETE FROM records WHERE namespace=?", (self.space,)).rowcount

    INCREMENT = (
        "INSERT INTO records VALUES (?,?,1) ON CONFLICT (namespace, key) DO UPDATE SET value = value + 1"
        " RETURNING value"
    )

    def increment(self, key: str) -> int:
        with self.lock:
            return int(self.run(self.INCREMENT, (self.space, key)).fetchall()[0][0])

    def close(self) -> None:
        self.connection.close()


class DiskCache(Peer):
    name = "diskcache"
    title = "diskcache"
    synced = True
    synchronous = 2
    note = "sqlite_synchronous=2 (FULL) in place of its default 1; eviction off; its own pickles, not JSON"
    verbs = ("get", "set", "clear", "increment")

    def open(self) -> None:
        import diskcache

        self.caches: dict[str, Any] = {}
        self.make = lambda name: diskcache.Cache(
            str(self.folder / name),
            sqlite_synchronous=self.synchronous,
            eviction_policy="none",
            cull_limit=0,
            size_limit=2**40,
        )
        self.bind()

    def bind(self) -> None:
        if self.space not in self.caches:
            self.caches[self.space] = self.make(self.space)
        cache = self.cache = self.caches[self.space]
        self.get = cache.get
        self.set = cache.set
        self.clear = cache.clear
        self.increment = cache.incr

    def versions(self) -> dict[str, str]:
        import diskcache

        return {"diskcache": diskcache.__version__}

    def set_many(self, items: dict[str, Any]) -> None:
        with self.cache.transact():
            for key, value in items.items():
                self.cache.set(key, value)

    def get_many(self, keys: list[str]) -> dict[str, Any]:
        # It has no call for this; a transaction would take the write lock.
        get = self.cache.get
        return {key: get(key) for key in keys}

    def get_all(self) -> dict[str, Any]:
        return dict(self.items())

    def items(self) -> Iterator[tuple[str, Any]]:
        get = self.cache.get
        for key in self.cache:
            yield key, get(key)

    def close(self) -> None:
        for cache in self.caches.values():
            cache.close()


class DiskCacheDefault(DiskCache):
    name = "diskcache-default"
    title = "diskcache, its default"
    synced = False
    synchronous = 1
    note = "sqlite_synchronous=1 (NORMAL): the last writes may be lost in a power cut"


class LangGraph(Peer):
    name = "langgraph"
    title = "LangGraph SqliteStore"
    synced = True
    note = "on a WAL connection with synchronous=FULL, faster than the rollback journal it opens by default"

    def open(self) -> None:
        import sqlite3

        # It would otherwise look for a tracing service's settings.
        os.environ["LANGSMITH_TRACING"] = "false"
        from langgraph.store.base import GetOp, PutOp
        from langgraph.store.sqlite import SqliteStore

        connection = sqlite3.connect(self.folder / "store.db", isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        self.connection, self.GetOp, self.PutOp = connection, GetOp, PutOp
        self.store = SqliteStore(connection)
        self.store.setup()
        self.bind()

    def bind(self) -> None:
        self.path = (self.space,)

    def versions(self) -> dict[str, str]:
        return {"langgraph-checkpoint-sqlite": version("langgraph-checkpoint-sqlite")}

    def get(self, key: str, default: Any = None) -> Any:
        item = self.store.get(self.path, key)
        return item.value if item else default

    def set(self, key: str, value: Any) -> None:
        self.store.put(self.path, key, value)

    def set_many(self, items: dict[str, Any]) -> None:
        self.store.batch([self.PutOp(self.path, key, value) for key, value in items.items()])

    def get_many(self, keys: list[str]) -> dict[str, Any]:
        found = self.store.batch([self.GetOp(self.path, key) for key in keys])
        return {item.key: item.value for item in found if item}

    def get_all(self) -> dict[str, Any]:
        return {item.key: item.value for item in self.store.search(self.path, limit=10**9)}

    def list_namespaces(self) -> list[tuple[str, ...]]:
        return self.store.list_namespaces(limit=10**9)

    def close(self) -> None:
        self.connection.close()


class Lmdb(Peer):
    name = "lmdb"
    title = "py-lmdb + orjson"
    synced = True
    note = "sync=True, its default; read through a memory map; one database for each namespace"

    def open(self) -> None:
        import lmdb
        import orjson

        # Every transaction copies a table of max_dbs entries: 2,000 of them doubled the time of a get.
        self.environment = lmdb.open(str(self.folder), map_size=2**36, max_dbs=2, max_readers=256)
        self.loads, self.dumps = orjson.loads, orjson.dumps
        self.bind()

    def bind(self) -> None:
        self.database = self.environment.open_db(self.space.encode())

    def versions(self) -> dict[str, str]:
        import lmdb
        import orjson

        library = ".".join(map(str, lmdb.version()))
        return {"py-lmdb": f"{lmdb.__version__} (LMDB {library})", "orjson": orjson.__version__}

    def get(self, key: str, default: Any = None) -> Any:
        with self.environment.begin(self.database, buffers=True) as transaction:
            text = transaction.get(key.encode())
            return default if text is None else self.loads(text)

    def set(self, key: str, value: Any) -> None:
        text = self.dumps(value)
        with self.environment.begin(self.database, write=True) as transaction:
            transaction.put(key.encode(), text)

    def set_many(self, items: dict[str, Any]) -> None:
        dumps = self.dumps
        pairs = [(key.encode(), dumps(value)) for key, value in items.items()]
        with self.environment.begin(self.database, write=True) as transaction:
            transaction.cursor().putmulti(pairs)

    def get_many(self, keys: list[str]) -> dict[str, Any]:
        loads = self.loads
        with self.environment.begin(self.database, buffers=True) as transaction:
            found = transaction.cursor().getmulti([key.encode() for key in keys])
            return {str(key, "utf-8"): loads(text) for key, text in found}

    def get_all(self) -> dict[str, Any]:
        return dict(self.items())

    def items(self) -> Iterator[tuple[str, Any]]:
        loads = self.loads
        with self.environment.begin(self.database, buffers=True) as transaction:
            for key, text in transaction.cursor():
                yield str(key, "utf-8"), loads(text)

    def list_keys(self, prefix: str) -> list[str]:
        start = prefix.encode()
        keys = []
        with self.environment.begin(self.database) as transaction:
            cursor = transaction.cursor()
            if cursor.set_range(start):
                for key in cursor.iternext(keys=True, values=False):
                    if not key.startswith(start):
                        break
                    keys.append(key.decode())
        return keys

    def increment(self, key: str) -> int:
        with self.environment.begin(self.database, write=True) as transaction:
            text = transaction.get(key.encode())
            number = (0 if text is None else self.loads(text)) + 1
            transaction.put(key.encode(), self.dumps(number))
        return number

    def clear(self) -> None:
        with self.environment.begin(write=True) as transaction:
            transaction.drop(self.database, delete=False)

    def close(self) -> None:
        self.environment.close()


class Redis(Peer):
    name = "redis"
    title = "Redis on loopback"
    synced = True
    appendfsync = "always"
    note = "appendonly, appendfsync=always; one hash for each namespace, so a prefix is a scan; orjson"

    def open(self) -> None:
        import orjson
        import redis

        binary = shutil.which("redis-server")
        if not binary:
            raise Unavailable("no redis-server here (Debian: apt install redis-server)")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        settings = {
            "--bind": "127.0.0.1",
            "--port": str(port),
            "--dir": str(self.folder),
            "--save": "",
            "--appendonly": "yes",
            "--appendfsync": self.appendfsync,
            "--auto-aof-rewrite-percentage": "0",
        }
        self.server = subprocess.Popen(
            [binary, *(word for pair in settings.items() for word in pair)], stdout=subprocess.DEVNULL
        )
        self.address = f"127.0.0.1:{port}"
        self.client = redis.Redis(port=port)
        deadline = time.monotonic() + 30
        while True:
            try:
                self.client.ping()
                break
            except redis.exceptions.RedisError as error:
                if self.server.poll() is not None or time.monotonic() > deadline:
                    raise Unavailable("redis-server did not start") from error
                time.sleep(0.02)
        self.loads, self.dumps = orjson.loads, orjson.dumps

    def versions(self) -> dict[str, str]:
        import hiredis
        import redis

        server = self.client.info("server")["redis_version"]
        return {"Redis": server, "redis-py": f"{redis.__version__} (hiredis {hiredis.__version__})"}

    def get(self, key: str, default: Any = None) -> Any:
        text = self.client.hget(self.space, key)
        return default if text is None else self.loads(text)

    def set(self, key: str, value: Any) -> None:
        self.client.hset(self.space, key, self.dumps(value))

    def set_many(self, items: dict[str, Any]) -> None:
        dumps = self.dumps
        self.client.hset(self.space, mapping={key: dumps(value) for key, value in items.items()})

    def get_many(self, keys: list[str]) -> dict[str, Any]:
        loads = self.loads
        found = self.client.hmget(self.space, keys)
        return {key: loads(text) for key, text in zip(keys, found, strict=True) if text is not None}

    def get_all(self) -> dict[str, Any]:
        loads = self.loads
        return {key.decode(): loads(text) for key, text in self.client.hgetall(self.space).items()}

    def increment(self, key: str) -> int:
        return self.client.hincrby(self.space, key)

    def clear(self) -> None:
        self.client.delete(self.space)

    def close(self) -> None:
        self.client.close()
        self.server.terminate()
        self.server.wait()

    def load(self, requests: Requests, connections: int, seconds: float) -> dict[str, Any]:
        return ask(self.address, "redis", [self.request(*each) for each in requests], connections, seconds)

    def request(self, kind: str, items: Iterable[tuple[str, Any]]) -> str:
        """What is asked of the server, as it goes over the wire."""
        match kind, list(items):
            case "read", [(key, _)]:
                words = ["HGET", self.space, key]
            case "read", many:
                words = ["HMGET", self.space, *(key for key, _ in many)]
            case "write", many:
                words = ["HSET", self.space, *(word for key, value in many for word in (key, data.encode(value)))]
            case _:
                raise NotImplementedError(kind)
        return f"*{len(words)}\r\n" + "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)


class RedisStandard(Redis):
    """As most write it: a string for each key, and Python's own json."""

    name = "redis-json"
    title = "Redis on loopback, json"
    note = "GET and SET, json.loads"

    def open(self) -> None:
        super().open()
        self.loads, self.dumps = json.loads, json.dumps

    def get(self, key: str, default: Any = None) -> Any:
        text = self.client.get(key)
        return default if text is None else self.loads(text)

    def set(self, key: str, value: Any) -> None:
        self.client.set(key, self.dumps(value))

    def set_many(self, items: dict[str, Any]) -> None:
        self.client.mset({key: self.dumps(value) for key, value in items.items()})
