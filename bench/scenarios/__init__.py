"""What is measured: one class a scenario, here in the order of the table."""

from __future__ import annotations

from scenario import Scenario
from scenarios.blocks import Claims, Compute, Increment, Lock
from scenarios.bulk import Clear, GetAll, GetMany, ListKeys, ListNamespaces, SetMany
from scenarios.cache import CacheMemory, Cold, Hit, Mixed, Threads
from scenarios.credentials import Credentials
from scenarios.http import HttpMixed, HttpRead, HttpReadMany, HttpWrite, HttpWriteMany, RemoteGet
from scenarios.mcp import Mcp
from scenarios.postgres import (
    PgClear,
    PgGet,
    PgGetAll,
    PgGrowth,
    PgListKeys,
    PgListNamespaces,
    PgSet,
    PgSetMany,
    PgWriters,
)
from scenarios.single import Disk, Get4k, Get200, Miss, Set4k, Set200
from scenarios.size import Growth, Memory
from scenarios.together import Counters, Writers

SCENARIOS: dict[str, type[Scenario]] = {
    scenario.name: scenario
    for scenario in (
        Get200, Get4k, Miss, Cold, Hit, Mixed, Threads, CacheMemory, Set200, Set4k, Credentials,
        Writers, SetMany, GetMany, GetAll, ListKeys, ListNamespaces, Clear, Increment, Counters, Lock, Claims, Compute,
        HttpRead, HttpWrite, HttpMixed, HttpReadMany, HttpWriteMany, RemoteGet, Mcp, Growth, Memory,
        PgGet, PgSet, PgSetMany, PgGetAll, PgListKeys, PgListNamespaces, PgClear, PgWriters, PgGrowth, Disk,
    )
}  # fmt: skip

__all__ = ["SCENARIOS"]
