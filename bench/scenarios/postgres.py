"""The same calls on one PostgreSQL server, beside the other store that agents have there."""

from __future__ import annotations

from scenario import Plan
from scenarios.bulk import Clear, GetAll, ListKeys, ListNamespaces, SetMany
from scenarios.single import Get, Set
from scenarios.size import Growth
from scenarios.together import Writers

STORES = ("ours-postgres", "langgraph-postgres")


class PgGet(Get):
    name, title = "pg_get", "PostgreSQL: get, 200 B"
    contenders = STORES
    processes = 1


class PgSet(Set):
    name, title = "pg_set", "PostgreSQL: one durable set, 200 B"
    contenders = STORES


class PgSetMany(SetMany):
    name, title = "pg_set_many", "PostgreSQL: set_many, 1,000 x 4 KB"
    contenders = STORES


class PgGetAll(GetAll):
    name = "pg_get_all"
    contenders = STORES

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.title = f"PostgreSQL: {self.title}"


class PgListKeys(ListKeys):
    name = "pg_list_keys"
    contenders = ("ours-postgres", "langgraph-postgres-prefix")

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.title = f"PostgreSQL: {self.title}"


class PgListNamespaces(ListNamespaces):
    name = "pg_list_namespaces"
    contenders = STORES

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.title = f"PostgreSQL: {self.title}"


class PgClear(Clear):
    name = "pg_clear"
    contenders = STORES

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.title = f"PostgreSQL: {self.title}"


class PgWriters(Writers):
    name, title = "pg_writers", "PostgreSQL: durable sets a second of one user, 200 B"
    contenders = (*STORES, "raw-postgres")

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.threads = 8


class PgGrowth(Growth):
    name = "pg_growth"
    contenders = ("ours-postgres",)

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.title = f"PostgreSQL: {self.title}"
