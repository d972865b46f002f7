"""Reads and writes over several keys, all or nothing."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from helpers import in_processes, together

from agent_data_store import (
    AsyncTransaction,
    ConflictError,
    DataStore,
    InvalidArgumentError,
    NotSerializableError,
    Transaction,
)


def test_a_block_is_committed_as_a_whole(data_store: DataStore) -> None:
    data_store.set("n", 1)
    other = data_store.use_namespace("other")
    with data_store.transaction() as tx:
        assert tx.namespace == "default"
        assert tx.get("n") == 1 and tx.get("missing") is None and tx.get("missing", 5) == 5
        tx.set("n", 2, {"why": "test"}, ttl=60)
        assert tx.increment("n", 40) == 42 == tx.get("n")
        assert tx.append("l", 1) == 1 and tx.extend("l", [1, 2], unique=True) == 2
        assert tx.merge("m", {"a": 1}) == {"a": 1}
        there = tx.use_namespace("other")
        assert there.namespace == "other"
        there.set("k", "v")
        assert not tx.delete("missing") and tx.delete("m")
        # Nobody else sees it before the end.
        assert data_store.get_all() == {"n": 1} and other.get_all() == {}
    assert data_store.get_all() == {"n": 42, "l": [1, 2]} and other.get_all() == {"k": "v"}
    record = data_store.get_record("n")
    assert record is not None and record.metadata == {"why": "test"} and record.expires_at is not None


def test_an_exception_drops_everything(data_store: DataStore) -> None:
    with pytest.raises(ZeroDivisionError), data_store.transaction() as tx:
        tx.set("a", 1)
        _ = 1 / 0
    assert data_store.get_all() == {}
    with pytest.raises(InvalidArgumentError, match="the transaction is over"):
        tx.get("a")


def test_a_conflict_names_the_key(data_store: DataStore) -> None:
    data_store.set("a", 1)
    with pytest.raises(ConflictError) as raised, data_store.transaction() as tx:
        tx.set("b", tx.get("a"))
        data_store.set("a", 2)
    assert (raised.value.namespace, raised.value.key) == ("default", "a")
    assert raised.value.expected_version and raised.value.actual_version
    assert raised.value.actual_version > raised.value.expected_version
    assert data_store.get_all() == {"a": 2}


def test_all_reads_show_one_state(data_store: DataStore) -> None:
    data_store.set_many({"a": 1, "b": 1})
    with pytest.raises(ConflictError), data_store.transaction() as tx:
        tx.get("a")
        data_store.set_many({"a": 2, "b": 2})
        tx.get("b")


def test_versions_can_be_demanded(data_store: DataStore) -> None:
    data_store.set("a", 1)
    with pytest.raises(ConflictError) as raised, data_store.transaction() as tx:
        tx.set("a", 2, if_version=0)
    assert raised.value.key == "a"
    with pytest.raises(NotSerializableError), data_store.transaction() as tx:
        tx.set("a", object())
    assert data_store.get("a") == 1


def test_it_is_used_in_a_block_and_once(data_store: DataStore) -> None:
    tx = data_store.transaction()
    for use in (lambda: tx.get("a"), lambda: tx.set("a", 1), lambda: tx.use_namespace("b").delete("a")):
        with pytest.raises(InvalidArgumentError, match="was not begun: use it as `with"):
            use()
    with tx:
        tx.set("a", 1)
    with pytest.raises(InvalidArgumentError, match="begun before"), tx:
        pass
    assert data_store.get("a") == 1


def test_only_aio_awaits(data_store: DataStore) -> None:
    async def body(tx: Transaction) -> None:
        tx.set("a", 1)

    with pytest.raises(TypeError, match="the function is a coroutine function"):
        _ = data_store.transact(body)

    async def main() -> None:
        with pytest.raises(TypeError, match="the function is no coroutine function"):
            await data_store.aio.transact(lambda tx: None)  # type: ignore[arg-type,return-value]
        assert await data_store.aio.transact(lambda tx: tx.increment("n")) == 1

    asyncio.run(main())
    assert data_store.get_all() == {"n": 1}
    assert repr(data_store.transaction()) == "Transaction(namespace='default')"
    assert repr(data_store.aio.transaction()) == "AsyncTransaction(namespace='default')"


def test_one_transaction_in_another_is_another_one(data_store: DataStore) -> None:
    with data_store.transaction() as outer:
        outer.set("a", 1)
        with data_store.transaction() as inner:
            assert inner.get("a") is None
            inner.set("b", 2)
        assert data_store.get_all() == {"b": 2}
    assert data_store.get_all() == {"a": 1, "b": 2}
    with pytest.raises(ConflictError), data_store.transaction() as outer:
        outer.increment("a")
        data_store.transact(lambda inner: inner.increment("a"))
    assert data_store.get("a") == 2


def test_a_block_may_be_left_in_any_way(data_store: DataStore) -> None:
    def leave() -> str:
        with data_store.transaction() as tx:
            tx.set("a", 1)
            return "returned"

    assert leave() == "returned" and data_store.get("a") == 1
    for error in (KeyboardInterrupt, SystemExit, GeneratorExit):
        with pytest.raises(error), data_store.transaction() as tx:
            tx.set("a", 2)
            raise error
    # What was refused was not kept back; the rest was.
    with data_store.transaction() as tx:
        tx.set("b", 1)
        with pytest.raises(NotSerializableError):
            tx.set("c", object())
    assert data_store.get_all() == {"a": 1, "b": 1}


def test_threads_share_a_transaction(data_store: DataStore) -> None:
    with data_store.transaction() as tx:
        together(8, lambda number: [tx.increment("n") for _ in range(10)])
    assert data_store.get("n") == 80


def test_transact_runs_again_after_a_conflict(data_store: DataStore) -> None:
    attempts: list[Transaction] = []

    def body(tx: Transaction) -> str:
        attempts.append(tx)
        value = tx.get("a", 0)
        if len(attempts) == 1:
            data_store.set("a", 10)
        tx.set("a", value + 1)
        return "done"

    assert data_store.transact(body) == "done"
    assert len(attempts) == 2 and data_store.get("a") == 11


def test_transact_passes_on_what_its_function_raises(data_store: DataStore) -> None:
    error = KeyError("mine")

    def body(tx: Transaction) -> None:
        tx.set("a", 1)
        raise error

    with pytest.raises(KeyError) as raised:
        data_store.transact(body)
    assert raised.value is error and data_store.get_all() == {}
    with pytest.raises(TypeError, match="not a function"):
        data_store.transact(None)  # type: ignore[arg-type]


def test_transact_gives_up_in_the_end(data_store: DataStore) -> None:
    def body(tx: Transaction) -> None:
        tx.get("a")
        data_store.increment("a")

    with pytest.raises(ConflictError) as raised:
        data_store.transact(body)
    assert raised.value.key == "a" and data_store.get("a") == 64


def transfer(tx: Transaction) -> int:
    amount = 1
    a, b = tx.get("a"), tx.get("b")
    tx.set("a", a - amount)
    tx.set("b", b + amount)
    return amount


def test_threads_keep_a_sum(data_store: DataStore) -> None:
    data_store.set_many({"a": 1000, "b": 0})
    finished = threading.Event()

    def work(number: int) -> None:
        if number == 0:
            while not finished.is_set():
                assert sum(data_store.get_all().values()) == 1000
        else:
            for _ in range(50):
                data_store.transact(transfer)
            with lock:
                done.append(number)
                if len(done) == 4:
                    finished.set()

    done: list[int] = []
    lock = threading.Lock()
    together(5, work)
    assert data_store.get_all() == {"a": 800, "b": 200}


def test_processes_keep_a_sum(file_store: DataStore, file_url: str) -> None:
    file_store.set_many({"a": 1000, "b": 0})
    code = """
from agent_data_store import connect
data_store = connect(sys.argv[1] + "?durability=relaxed", user="alice")
def transfer(tx):
    tx.increment("a", -1)
    tx.increment("b", 1)
for _ in range(100):
    data_store.transact(transfer)
"""
    in_processes(3, code, file_url)
    assert file_store.get_all() == {"a": 700, "b": 300}


def test_as_coroutines(data_store: DataStore) -> None:
    async def main() -> None:
        aio = data_store.aio
        async with aio.transaction() as tx:
            await tx.set("a", 1, {"m": 1})
            assert await tx.get("a") == 1 and await tx.get("missing", 2) == 2
            assert await tx.increment("a") == 2
            assert await tx.append("l", 1) == 1 and await tx.extend("l", [2, 3], max_length=2) == 2
            assert await tx.merge("m", {"a": 1}) == {"a": 1}
            assert await tx.delete("m") and tx.use_namespace("o").namespace == "o"
        assert await aio.get_all() == {"a": 2, "l": [2, 3]}
        with pytest.raises(ZeroDivisionError):
            async with aio.transaction() as tx:
                await tx.set("a", 1 / 0)
        with pytest.raises(ConflictError):
            async with aio.transaction() as tx:
                await tx.get("a")
                await aio.set("a", 5)
        with pytest.raises(InvalidArgumentError, match="not begun"):
            await aio.transaction().get("a")

        async def count(tx: AsyncTransaction) -> Any:
            value = await tx.get("n", 0)
            await asyncio.sleep(0)
            await tx.set("n", value + 1)
            return value

        results = await asyncio.gather(*(aio.transact(count) for _ in range(20)))
        assert sorted(results) == list(range(20))

        async def fail(tx: AsyncTransaction) -> None:
            await tx.set("n", -1)
            raise KeyError("mine")

        with pytest.raises(KeyError):
            await aio.transact(fail)
        assert await aio.get("n") == 20

    asyncio.run(main(), debug=True)
