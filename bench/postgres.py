"""A PostgreSQL server for the time of a run, with a database for each contender."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from contenders.base import Unavailable
from contenders.program import TARGET

URL = "ADS_BENCH_POSTGRES_URL"
# More room than by default, and checkpoints so far apart that few fall into a measurement. Every commit is synced.
SETTINGS = ("shared_buffers=512MB", "max_wal_size=8GB", "checkpoint_timeout=30min", "max_connections=100")

_numbers = count()


@contextmanager
def server(needed: bool) -> Iterator[None]:
    """Has contenders find a server, unless none of them needs one."""
    if not needed:
        yield
        return
    try:
        process = subprocess.Popen(
            [TARGET / "release" / "throwaway-postgres", *SETTINGS],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
    except OSError:
        yield
        return
    assert process.stdin and process.stdout
    # What follows says where a store is kept, which only ours understands.
    os.environ[URL] = process.stdout.readline().strip().partition("?")[0]
    try:
        yield
    finally:
        process.stdin.close()
        process.wait()


class Database:
    """A database of one contender, which goes with it."""

    def __init__(self) -> None:
        self.server = os.environ.get(URL, "")
        if not self.server:
            raise Unavailable("no PostgreSQL here (scripts/postgres installs it)")
        self.name = f"bench_{os.getpid()}_{next(_numbers)}"
        self.run(f'CREATE DATABASE "{self.name}"')
        self.url = f"{self.server.rpartition('/')[0]}/{self.name}"

    def run(self, *statements: str, url: str = "") -> list[Any]:
        """What the last of them returns."""
        import psycopg

        with contextlib.closing(psycopg.connect(url or self.server, autocommit=True)) as connection:
            for statement in statements:
                cursor = connection.execute(statement)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    def settle(self) -> None:
        """What was written is on the disk and counted, as it is some time after it was written."""
        self.run("VACUUM ANALYZE", "CHECKPOINT", url=self.url)

    def version(self) -> str:
        return self.run("SHOW server_version")[0][0]

    def bytes(self) -> int:
        return self.run(f"SELECT pg_database_size('{self.name}')")[0][0]

    def drop(self) -> None:
        self.run(f'DROP DATABASE "{self.name}" WITH (FORCE)')
