"""The contenders by name. `synced` says what an acknowledged write survives: True, a power cut; False, only the end
of the process."""

from __future__ import annotations

from contenders.base import Peer, Unavailable
from contenders.floors import (
    Fdatasync,
    FdatasyncAppend,
    Interpreter,
    Jiter,
    RawSqlite,
    RawSqliteCheckpointing,
    RawSqliteKept,
)
from contenders.ours import (
    Ours,
    OursFull,
    OursRelaxed,
    OursRemote,
    OursRust,
    OursRustFull,
    OursRustUncached,
    OursUncached,
    OursUnchecked,
)
from contenders.peers import DiskCache, DiskCacheDefault, LangGraph, Lmdb, Redis, RedisStandard, StandardLibrary
from contenders.postgres import (
    LangGraphPostgres,
    LangGraphPostgresByPrefix,
    OursPostgres,
    OursPostgresRemote,
    RawPostgres,
)

CONTENDERS: dict[str, type[Peer]] = {
    contender.name: contender
    for contender in (
        Ours, OursUncached, OursFull, OursRelaxed, OursUnchecked, OursRust, OursRustUncached, OursRustFull,
        OursRemote,
        RawSqlite, RawSqliteKept, RawSqliteCheckpointing, Fdatasync, FdatasyncAppend, Jiter, Interpreter,
        StandardLibrary, DiskCache, DiskCacheDefault, LangGraph, Lmdb, Redis, RedisStandard,
        OursPostgres, OursPostgresRemote, LangGraphPostgres, LangGraphPostgresByPrefix, RawPostgres,
    )
}  # fmt: skip

__all__ = ["CONTENDERS", "Peer", "Unavailable"]
