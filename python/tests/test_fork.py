"""A handle that is used on both sides of a fork."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import subprocess
import sys
from functools import partial
from typing import Any

import pytest
from helpers import busy, in_child

from agent_data_store import DataStore, connect

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    # Forking with threads is what is tested here; Python warns of it from 3.12 on.
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning"),
]


def integrity(file_url: str) -> str:
    """What SQLite itself says of the file, asked in another process: a second library in this one breaks locks."""
    code = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('PRAGMA integrity_check').fetchone()[0])"
    path = file_url.removeprefix("sqlite://")
    return subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True).stdout.strip()


def test_parent_and_child_go_on_with_the_same_handle(file_store: DataStore) -> None:
    file_store.set("parent", 1)

    def child() -> Any:
        assert file_store.get("parent") == 1
        file_store.set("child", 2)
        file_store.use_namespace("other").set("child", 3)
        return file_store.get_all()

    assert in_child(child) == {"parent": 1, "child": 2}
    file_store.set("parent", 4)
    assert file_store.get_all() == {"parent": 4, "child": 2}
    assert file_store.list_namespaces() == ["default", "other"]


def test_forks_while_threads_read_and_write(file_store: DataStore, file_url: str) -> None:
    acknowledged: dict[str, int] = {}

    def work(number: int) -> None:
        file_store.set(f"parent:{number}", number)
        acknowledged[f"parent:{number}"] = number
        assert file_store.get(f"parent:{number}") == number
        file_store.list_keys("parent:1")
        assert file_store.use_namespace(f"other {number}").get("missing") is None

    def child(turn: int) -> int:
        for number in range(20):
            file_store.set(f"child:{turn}:{number}", number)
            assert file_store.get(f"child:{turn}:{number}") == number
        assert file_store.get("parent:0") == 0
        file_store.close()
        return turn

    with busy(work, threads=4):
        for turn in range(20):
            assert in_child(partial(child, turn)) == turn
            acknowledged.update({f"child:{turn}:{number}": number for number in range(20)})
    assert file_store.get_all() == acknowledged
    assert file_store.count() == len(acknowledged)
    assert integrity(file_url) == "ok"


def test_forks_while_threads_read_more_than_one_thread_reads_alone(file_store: DataStore) -> None:
    values = {f"key{number:04}": ["x" * 2_000, [number]] for number in range(1_000)}
    file_store.set_many(values)

    def work(number: int) -> None:
        assert file_store.get_all() == values

    def child(turn: int) -> int:
        assert file_store.get_all() == values
        return turn

    with busy(work, threads=2):
        for turn in range(5):
            assert in_child(partial(child, turn)) == turn


def test_stores_that_are_opened_while_others_fork(file_url: str) -> None:
    def work(number: int) -> None:
        with connect(f"{file_url}?durability=relaxed", user=f"user {number % 7}") as mine:
            mine.set("key", number)

    def child(turn: int) -> int:
        data_store.set(f"{turn}", turn)
        return data_store.count()

    with connect(f"{file_url}?durability=relaxed") as data_store, busy(work, threads=3):
        for turn in range(20):
            assert in_child(partial(child, turn)) == turn + 1


def test_children_of_children(file_store: DataStore) -> None:
    def grandchild() -> None:
        file_store.set("grandchild", 1)

    def child() -> None:
        in_child(grandchild)
        file_store.set("child", 1)

    in_child(child)
    assert file_store.get_all() == {"grandchild": 1, "child": 1}


def test_a_child_may_write_with_coroutines(file_store: DataStore) -> None:
    async def write(name: str, count: int) -> None:
        await asyncio.gather(*(file_store.aio.set(f"{name}:{number}", number) for number in range(count)))

    # Starts threads, which a child does not inherit: it must not wait for them.
    asyncio.run(write("parent", 20))
    in_child(lambda: asyncio.run(write("child", 1)))
    in_child(lambda: asyncio.run(write("other child", 30)))
    assert [file_store.count(name) for name in ("parent", "child", "other child")] == [20, 1, 30]


def test_an_iterator_goes_on_in_the_child(file_store: DataStore) -> None:
    file_store.set_many({f"k{number}": number for number in range(10)})
    pairs = file_store.items(page_size=2)
    assert next(pairs) == ("k0", 0)
    assert in_child(lambda: [value for _, value in pairs]) == list(range(1, 10))
    assert [value for _, value in pairs] == list(range(1, 10))


def test_a_store_in_memory_is_a_copy_in_the_child() -> None:
    with connect("memory:") as data_store:
        data_store.set("key", "parent")

        def child() -> Any:
            data_store.set("key", "child")
            return data_store.get("key")

        assert in_child(child) == "child"
        assert data_store.get("key") == "parent"


def test_a_closed_store_stays_closed_after_a_fork(file_store: DataStore) -> None:
    file_store.set("key", 1)
    file_store.close()

    def child() -> str:
        try:
            file_store.get("key")
        except ValueError as error:
            return str(error)
        return "no error"

    assert "the store is closed" in in_child(child)


def test_many_children_at_once(file_store: DataStore) -> None:
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=file_store.set, args=(str(number), number)) for number in range(8)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    assert file_store.get_all() == {str(number): number for number in range(8)}
