"""The package on PostgreSQL, with a server of its own or the database that ADS_TEST_POSTGRES_URL names."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from helpers import Server, busy, in_child

from agent_data_store import ConflictError, DataStore, InvalidArgumentError, connect

PROGRAM = Path(__file__).resolve().parents[2] / "target" / "debug" / "throwaway-postgres"
NUMBERS = count()

forks = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    # Forking with threads is what is tested here; Python warns of it from 3.12 on.
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning"),
]


def without(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    if not PROGRAM.exists():
        without("throwaway-postgres is not built: cargo build --workspace --bin throwaway-postgres")
    # Not in reach of Ctrl-C: it ends with its input.
    with subprocess.Popen(
        [PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        url = process.stdout.readline().strip()
        if not url:
            without("PostgreSQL is not installed: scripts/postgres installs it")
        yield url
        process.stdin.close()


@pytest.fixture
def url(server_url: str) -> str:
    """A store that no other test has."""
    return f"{server_url}&table_prefix=t{next(NUMBERS)}_&pool_size=4"


@pytest.fixture
def data_store(url: str) -> Iterator[DataStore]:
    with connect(url, user="alice", agent="tester") as opened:
        yield opened


def test_values_come_back_as_they_were(data_store: DataStore) -> None:
    value = {"big": 10**30, "float": 0.1, "text": "é\u2028", "none": None, "list": [1, [True]]}
    data_store.set("key", value, {"m": 1})
    assert data_store.get("key") == value
    data_store.set("none", None)
    assert data_store.get("none", "default") is None
    assert data_store.increment("n") == 1
    with pytest.raises(ConflictError):
        data_store.set("n", 5, if_version=0)
    record = data_store.get_record("key")
    assert record is not None
    assert (record.metadata, record.created_by_agent) == ({"m": 1}, "tester")
    assert dict(data_store.items(page_size=1)) == {"key": value, "none": None, "n": 1}


def test_a_url_that_cannot_be_is_said_without_its_password() -> None:
    with pytest.raises(InvalidArgumentError) as raised:
        connect("postgresql://alice:hunter2@localhost/agents?schema=1")
    assert "hunter2" not in str(raised.value)


@pytest.mark.usefixtures("data_store")
def test_threads_of_two_handles_lose_nothing(url: str, data_store: DataStore) -> None:
    with connect(url, user="alice") as other, busy(lambda _: other.increment("n"), threads=3):
        for _ in range(50):
            data_store.increment("n")
        data_store.transact(lambda tx: tx.set("own", tx.get("own", 0) + 50))
    changes = [change for change in data_store.changes(0) if change.key == "n"]
    assert data_store.get("n") == len(changes)
    assert data_store.get("own") == 50


class TestForks:
    pytestmark = forks

    def test_parent_and_child_go_on_with_the_same_handle(self, data_store: DataStore) -> None:
        data_store.set("parent", 1)

        def child() -> Any:
            assert data_store.get("parent") == 1
            data_store.set("child", 2)
            return data_store.get_all()

        assert in_child(child) == {"parent": 1, "child": 2}
        data_store.set("parent", 4)
        assert data_store.get_all() == {"parent": 4, "child": 2}

    def test_forks_while_threads_read_and_write(self, data_store: DataStore) -> None:
        acknowledged: dict[str, int] = {}

        def work(number: int) -> None:
            data_store.set(f"parent:{number}", number)
            acknowledged[f"parent:{number}"] = number
            assert data_store.get(f"parent:{number}") == number

        def child(turn: int) -> int:
            for number in range(5):
                data_store.set(f"child:{turn}:{number}", number)
            assert data_store.get("parent:0") == 0
            data_store.close()
            return turn

        with busy(work, threads=3):
            for turn in range(5):
                assert in_child(partial(child, turn)) == turn
                acknowledged.update({f"child:{turn}:{number}": number for number in range(5)})
        assert data_store.get_all() == acknowledged

    def test_a_fork_while_somebody_waits(self, data_store: DataStore) -> None:
        def wait(_: int) -> None:
            with pytest.raises(TimeoutError):
                data_store.wait_for("never", timeout=0.2)

        with busy(wait, threads=2):
            for turn in range(3):
                assert in_child(lambda: data_store.increment("n")) == turn + 1

    def test_many_children_at_once(self, data_store: DataStore) -> None:
        context = multiprocessing.get_context("fork")
        children = [context.Process(target=data_store.set, args=(str(number), number)) for number in range(6)]
        for child in children:
            child.start()
        for child in children:
            child.join(60)
            assert child.exitcode == 0
        assert data_store.get_all() == {str(number): number for number in range(6)}


def test_coroutines_share_few_connections(data_store: DataStore) -> None:
    async def main() -> None:
        aio = data_store.aio
        await asyncio.gather(*(aio.set(f"k{number:02}", number) for number in range(40)))
        assert [pair async for pair in aio.items("k", page_size=7)] == [(f"k{n:02}", n) for n in range(40)]
        waiting = asyncio.create_task(aio.wait_for("later", timeout=60))
        assert sum(await asyncio.gather(*(aio.increment("n") for _ in range(20)))) == 210
        await aio.set("later", "there")
        assert await waiting == "there"
        async with aio.lock("resource", 60):
            pass

    asyncio.run(main())


def test_a_call_that_is_cancelled_leaves_the_store_usable(data_store: DataStore) -> None:
    async def main() -> None:
        waiting = asyncio.create_task(data_store.aio.wait_for("never", timeout=60))
        await data_store.aio.set("a", 1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await data_store.aio.get("a") == 1

    asyncio.run(main())


def test_an_agent_runs_on_it(url: str, tmp_path: Path) -> None:
    agent = tmp_path / "counter.py"
    agent.write_text("async def run(input_dict, tools):\n    return data_store.increment('runs', input_dict['by'])\n")
    command = [sys.executable, "-m", "agent_data_store", "run", str(agent), "--input", '{"by": 2}', "--user", "bob"]
    for number in (2, 4):
        done = subprocess.run([*command, "--store", url], capture_output=True, text=True, check=True)
        assert json.loads(done.stdout) == number
    environment = {**os.environ, "AGENT_DATA_STORE_URL": url}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert json.loads(done.stdout) == 6
    with connect(url, user="bob") as data_store:
        record = data_store.get_record("runs")
    assert record is not None and record.updated_by_agent == "counter"


def test_two_servers_have_one_store(url: str) -> None:
    servers = [Server(url), Server(url)]
    try:
        one, two = (connect(server.url, user="alice") for server in servers)
        with one, two:
            one.set("a", 1)
            assert two.get("a") == 1
            assert [one.increment("n"), two.increment("n")] == [1, 2]
    finally:
        for server in servers:
            server.kill()
