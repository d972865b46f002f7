"""A store on a server: what is not the same as everywhere else."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import Server, in_child

from agent_data_store import (
    ConflictError,
    DataStore,
    InvalidArgumentError,
    PermissionDeniedError,
    UnavailableError,
    connect,
    run_agent,
)


@pytest.fixture
def remote(server: Server) -> Iterator[DataStore]:
    with connect(server.url, agent="tester") as opened:
        yield opened


def test_who_names_no_user_is_the_one_whom_the_server_takes_them_for(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_DATA_STORE_URL", server.url)
    with connect() as store:
        assert (store.user, store.agent, store.namespace) == ("default", "unknown", "default")
    monkeypatch.setenv("AGENT_DATA_STORE_USER", "alice")
    with connect() as store:
        assert store.user == "alice"


def test_a_token_that_cannot_be_one_is_refused_and_shown_nowhere(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = server.make_token("--user", "alice", "--agent", "reader")
    with connect(server.url, token=token) as store:
        assert (store.user, store.agent) == ("alice", "reader")
        assert token not in repr(store)
    for user, wrong in (("alice", "hunter2"), ("bob", token)):
        with pytest.raises(PermissionDeniedError) as refused, connect(server.url, user=user, token=wrong) as store:
            store.get("key")
        assert wrong not in str(refused.value) and isinstance(refused.value, PermissionError)
    for token in ("", "hunter 2", "hunter2\n"):
        with pytest.raises(InvalidArgumentError, match="token is not one") as caught:
            connect(server.url, token=token)
        assert "hunter" not in str(caught.value)
    monkeypatch.setenv("AGENT_DATA_STORE_TOKEN", "hunter 2")
    with pytest.raises(InvalidArgumentError, match="token is not one"):
        connect(server.url)


def test_a_server_that_is_gone_is_unavailable_and_comes_back(server: Server, remote: DataStore) -> None:
    remote.set("n", 1)
    server.kill()
    with pytest.raises(UnavailableError, match=server.url.removeprefix("http://")) as caught:
        connect(f"{server.url}?timeout=0.2")
    assert caught.value.retryable and isinstance(caught.value, ConnectionError)
    server.start()
    assert remote.get("n") == 1
    server.kill()
    starting = threading.Thread(target=server.start)
    starting.start()
    assert remote.increment("n") == 2
    starting.join()


def test_an_error_says_the_same_as_that_of_a_local_store(remote: DataStore) -> None:
    remote.set("k", 1)
    version = remote.get_record("k").version  # type: ignore[union-attr]
    with pytest.raises(ConflictError) as caught:
        remote.set("k", 2, if_version=0)
    assert (caught.value.expected_version, caught.value.actual_version) == (0, version)
    assert (caught.value.operation, caught.value.namespace, caught.value.key) == ("set", "default", "k")


def test_a_coroutine_leaves_the_loop_to_others_while_it_waits(server: Server, remote: DataStore) -> None:
    async def main() -> object:
        waiting = [asyncio.create_task(remote.aio.wait_for("k", timeout=60)) for _ in range(20)]
        await asyncio.sleep(0)
        async with connect(server.url, agent="other").aio as other:
            await other.set("k", {"a": 1})
        return await asyncio.gather(*waiting)

    assert asyncio.run(main()) == [{"a": 1}] * 20


def test_the_program_and_agents_take_the_url_of_a_server(server: Server, tmp_path: Path) -> None:
    agent = tmp_path / "agent.py"
    agent.write_text("def run(input_dict, tools):\n    return data_store.increment('n')\n")
    assert run_agent(agent, {}, url=server.url) == 1
    token = server.make_token("--user", "default", "--write")
    (tmp_path / "token").write_text(f"{token}\n")
    ads = [sys.executable, "-m", "agent_data_store"]
    options = ["--store", server.url, "--token-file", str(tmp_path / "token")]
    assert subprocess.run([*ads, "run", str(agent), *options], capture_output=True, text=True).stdout == "2\n"
    assert subprocess.run([*ads, "get", "n", *options], capture_output=True, text=True).stdout == "2\n"
    refused = subprocess.run([*ads, "get", "n", "--token-file", "missing", "--store", server.url], capture_output=True)
    assert refused.returncode == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")
def test_parent_and_child_share_no_connection(remote: DataStore) -> None:
    remote.set("n", 0)
    waiting = threading.Thread(target=lambda: remote.wait_for("end", timeout=60))
    waiting.start()

    def child() -> object:
        sums = [remote.increment("n") for _ in range(50)]
        assert remote.wait_for("n", timeout=60) > 0
        return sums

    results: list[object] = []
    children = [threading.Thread(target=lambda: results.append(in_child(child))) for _ in range(2)]
    for thread in children:
        thread.start()
    own = [remote.increment("n") for _ in range(50)]
    for thread in children:
        thread.join()
    assert remote.get("n") == 150
    theirs = [number for numbers in results for number in numbers]  # type: ignore[attr-defined]
    assert sorted([*own, *theirs]) == list(range(1, 151))
    remote.set("end", True)
    waiting.join()
