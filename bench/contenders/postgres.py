"""Stores in PostgreSQL, on the server that `postgres.server` has started."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from importlib.metadata import version
from typing import Any

import data
from contenders.base import Peer, Unavailable
from contenders.ours import Ours, OursRemote
from contenders.peers import LangGraph
from postgres import Database


class OnPostgres(Peer):
    """What contenders on that server have in common."""

    synced = True
    on_postgres = True
    database: Database

    def settle(self) -> None:
        self.database.settle()

    def bytes(self) -> int:
        return self.database.bytes()


class OursPostgres(OnPostgres, Ours):
    name = "ours-postgres"
    title = "Agent Data Store in PostgreSQL"
    label = "Agent Data Store"

    def place(self) -> tuple[str, str | None]:
        self.database = Database()
        return self.database.url, None

    def versions(self) -> dict[str, str]:
        return {**super().versions(), "PostgreSQL": self.database.version()}

    def close(self) -> None:
        super().close()
        self.database.drop()


class OursPostgresRemote(OursRemote, OursPostgres):
    name = "ours-postgres-remote"
    title = "Agent Data Store in PostgreSQL, on a server"
    label = ""


class LangGraphPostgres(OnPostgres, LangGraph):
    name = "langgraph-postgres"
    title = "LangGraph PostgresStore"
    note = "as `from_conn_string` makes it; it has no call for clear, so what is found is deleted"

    def open(self) -> None:
        # It would otherwise look for a tracing service's settings.
        os.environ["LANGSMITH_TRACING"] = "false"
        from langgraph.store.base import GetOp, PutOp
        from langgraph.store.postgres import PostgresStore

        self.database = Database()
        self.PutOp, self.GetOp = PutOp, GetOp
        self.opened = PostgresStore.from_conn_string(self.database.url)
        self.store = self.opened.__enter__()
        self.store.setup()
        self.bind()

    def versions(self) -> dict[str, str]:
        names = ("langgraph-checkpoint-postgres", "psycopg")
        return {**{name: version(name) for name in names}, "PostgreSQL": self.database.version()}

    def clear(self) -> None:
        found = self.store.search(self.path, limit=10**9)
        self.store.batch([self.PutOp(item.namespace, item.key, None) for item in found])

    def close(self) -> None:
        self.opened.__exit__(None, None, None)
        self.database.drop()


class LangGraphPostgresByPrefix(LangGraphPostgres):
    """It has no call for keys by prefix, but finds namespaces by one: keys go there but for their end."""

    name = "langgraph-postgres-prefix"
    title = "LangGraph PostgresStore, keys as namespaces"
    label = "LangGraph, by namespace"
    note = "all but the end of a key is a namespace, which it can find by a prefix"

    def set_many(self, items: dict[str, Any]) -> None:
        parts = [(key.rpartition(":"), value) for key, value in items.items()]
        self.store.batch([self.PutOp((self.space, start), end, value) for (start, _, end), value in parts])

    def list_keys(self, prefix: str) -> list[str]:
        found = self.store.search((self.space, prefix.removesuffix(":")), limit=10**9)
        return sorted(prefix + item.key for item in found)


class RawPostgres(OnPostgres):
    """What the server gives to the smallest durable write, one row found by its key, from its own load generator."""

    name = "raw-postgres"
    title = "raw PostgreSQL, UPDATE of one row"
    label = "raw UPDATE of one row"
    note = "pgbench: prepared, one connection for each writer; a key and a value, nothing else kept"
    keys = 100

    def open(self) -> None:
        self.program = shutil.which("pgbench")
        if not self.program:
            raise Unavailable("pgbench is not on the path (Debian: it comes with postgresql)")
        self.database = Database()
        self.script = self.folder / "update.sql"
        self.script.write_text(
            f"\\set number :client_id * {self.keys} + random(0, {self.keys - 1})\n"
            "\\set digit random(0, 9)\n"
            f"UPDATE kv SET value = repeat(CAST(:digit AS text), {data.SMALL_BYTES}) WHERE key = 'user:' || :number;\n"
        )

    def versions(self) -> dict[str, str]:
        return {"PostgreSQL": self.database.version()}

    def fill(self, start: int, count: int, values: list[Any], chunk: int = 1000) -> None:
        self.database.run(
            "CREATE TABLE kv (key text PRIMARY KEY, value text NOT NULL)",
            f"INSERT INTO kv SELECT 'user:' || n, repeat('x', {data.SMALL_BYTES})"
            f" FROM generate_series({start}, {start + count - 1}) n",
            url=self.database.url,
        )

    def write_from(self, writers: int) -> float:
        """Writes a second, for one second."""
        assert self.program
        threads = min(writers, os.cpu_count() or 1)
        command = [
            self.program, "--no-vacuum", "--protocol=prepared", f"--client={writers}", f"--jobs={threads}", "--time=1",
            f"--file={self.script}", self.database.url,
        ]  # fmt: skip
        told = subprocess.run(command, capture_output=True, text=True)
        found = re.search(r"^tps = ([0-9.]+)", told.stdout, re.MULTILINE)
        if told.returncode or not found:
            raise RuntimeError(f"pgbench: {told.stderr.strip()}")
        return float(found[1])

    def close(self) -> None:
        self.database.drop()
