"""Stores in PostgreSQL, on the server that `postgres.server` has started."""

from __future__ import annotations

import os
from importlib.metadata import version
from typing import Any

from contenders.base import Peer
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
    note = "all but the end of a key is a namespace, which it can find by a prefix"

    def set_many(self, items: dict[str, Any]) -> None:
        parts = [(key.rpartition(":"), value) for key, value in items.items()]
        self.store.batch([self.PutOp((self.space, start), end, value) for (start, _, end), value in parts])

    def list_keys(self, prefix: str) -> list[str]:
        found = self.store.search((self.space, prefix.removesuffix(":")), limit=10**9)
        return sorted(prefix + item.key for item in found)
