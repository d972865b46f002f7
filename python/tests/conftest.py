"""Stores to test on: every promise holds on every engine."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from helpers import Server

from agent_data_store import DataStore, connect

# A shell that starts the tests in the background has told them to ignore Ctrl-C, and thereby all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

Connect = Callable[..., DataStore]
WaitUntil = Callable[[Callable[[], bool]], None]
Blocked = Callable[[], AbstractContextManager[None]]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("URL", "USER", "AGENT", "NAMESPACE", "TOKEN"):
        monkeypatch.delenv(f"AGENT_DATA_STORE_{name}", raising=False)
    # Nothing here may ever touch the real default store.
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def file_url(tmp_path: Path) -> str:
    return f"sqlite://{tmp_path}/store.db"


@pytest.fixture
def server(file_url: str) -> Iterator[Server]:
    server = Server(f"{file_url}?durability=relaxed")
    yield server
    server.kill()


@pytest.fixture(params=["memory", "sqlite", "remote"])
def data_store(request: pytest.FixtureRequest, file_url: str) -> Iterator[DataStore]:
    url = "memory:" if request.param == "memory" else f"{file_url}?durability=relaxed"
    if request.param == "remote":
        url = request.getfixturevalue("server").url
    with connect(url, user="alice", agent="tester") as opened:
        yield opened


@pytest.fixture
def file_store(file_url: str) -> Iterator[DataStore]:
    with connect(f"{file_url}?durability=relaxed", user="alice", agent="tester") as opened:
        yield opened


@pytest.fixture
def wait_until() -> WaitUntil:
    def wait(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline, "the condition did not come true"
            time.sleep(0.005)

    return wait


@pytest.fixture
def blocked(file_url: str) -> Blocked:
    """A time in which nobody can write to the file, because another process is in the middle of a transaction."""
    holder = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("blocked", flush=True)
sys.stdin.read()
connection.execute("ROLLBACK")
"""

    @contextmanager
    def block() -> Iterator[None]:
        path = file_url.removeprefix("sqlite://")
        command = [sys.executable, "-c", holder, path]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "blocked\n"
            yield
            process.communicate()

    return block
