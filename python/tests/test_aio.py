"""The verbs as coroutines."""

from __future__ import annotations

import asyncio
import gc
import inspect
import threading
from collections.abc import Coroutine
from typing import Any

import pytest
from conftest import Blocked

from agent_data_store import (
    AsyncDataStore,
    ConflictError,
    DataStore,
    InvalidArgumentError,
    NotSerializableError,
    connect,
)


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(main, debug=True)


def arguments(method: Any) -> list[tuple[str, Any, Any]]:
    _self, *rest = inspect.signature(method).parameters.values()
    return [(each.name, each.kind, each.default) for each in rest]


def test_it_has_the_same_verbs_with_the_same_arguments() -> None:
    for name in dir(DataStore):
        if name.startswith("_") or name == "aio":
            continue
        sync, aio = getattr(DataStore, name), getattr(AsyncDataStore, name)
        if isinstance(aio, property):
            continue
        assert arguments(aio) == arguments(sync)
        assert inspect.iscoroutinefunction(aio) or name in (
            "use_namespace",
            "items",
            "transaction",
            "lock",
            "cached",
            "watch",
        )
        assert sync.__doc__ and aio.__doc__


def test_every_verb(data_store: DataStore) -> None:
    async def main() -> None:
        aio = data_store.aio
        assert (aio.user, aio.agent, aio.namespace) == ("alice", "tester", "default")
        await aio.set("a", {"n": 1}, {"m": 1}, ttl=60)
        assert await aio.get("a") == {"n": 1}
        assert await aio.get("missing", 5) == 5
        record = await aio.get_record("a")
        assert record is not None and record.metadata == {"m": 1} and record.expires_at is not None
        with pytest.raises(ConflictError):
            await aio.set("a", 2, if_version=0)
        assert await aio.set_many({"b": 2, "c": 3}, {"m": 2}, ttl=60) == 2
        assert await aio.set_many(("d", number) for number in range(3)) == 1
        assert await aio.list_keys() == ["a", "b", "c", "d"]
        assert await aio.get_all() == {"a": {"n": 1}, "b": 2, "c": 3, "d": 2}
        assert await aio.get_many(key for key in "bx") == {"b": 2}
        assert await aio.count("a") == 1
        other = aio.use_namespace("other")
        await other.set("a", 1)
        assert await aio.list_namespaces() == ["default", "other"]
        assert [each.records for each in await aio.namespaces()] == [4, 1]
        assert await aio.delete("a") is True
        assert await aio.delete_many(key for key in "bx") == 1
        assert await aio.clear() == 2
        assert await other.get_all() == {"a": 1}
        await aio.close()
        with pytest.raises(InvalidArgumentError, match="closed"):
            await aio.get("a")

    run(main())


@pytest.mark.parametrize("page_size", [1, 3, 1_000])
def test_items_is_an_asynchronous_iterator(data_store: DataStore, page_size: int) -> None:
    data_store.set_many({f"k{number}": number for number in range(10)})

    async def main() -> None:
        seen = [pair async for pair in data_store.aio.items("k", page_size=page_size)]
        assert seen == [(f"k{number}", number) for number in range(10)]
        assert [pair async for pair in data_store.aio.items("none")] == []

    run(main())


def test_errors_are_those_of_the_verbs(data_store: DataStore) -> None:
    async def main() -> None:
        aio = data_store.aio
        with pytest.raises(NotSerializableError, match=r"value at \$ is bytes"):
            await aio.set("a", b"")
        with pytest.raises(InvalidArgumentError, match="key is empty"):
            await aio.get("")
        with pytest.raises(TypeError, match="keys is str"):
            await aio.get_many("abc")
        with pytest.raises(TypeError, match="keys is str"):
            await aio.delete_many("abc")
        assert await aio.count() == 0

    run(main())


def test_what_is_written_is_what_the_value_was_at_the_call(data_store: DataStore) -> None:
    async def main() -> None:
        value = {"n": 0}
        tasks = []
        for number in range(50):
            value["n"] = number
            tasks.append(asyncio.create_task(data_store.aio.set(str(number), value)))
            await asyncio.sleep(0)
        value["n"] = -1
        await asyncio.gather(*tasks)
        assert await data_store.aio.get_all() == {str(number): {"n": number} for number in range(50)}

    run(main())


def test_the_event_loop_never_waits_for_the_disk(file_url: str, blocked: Blocked) -> None:
    async def main() -> None:
        async with connect(file_url).aio as aio:
            await aio.set("key", 0)
            with blocked():
                calls = [aio.set("key", 1), aio.set_many({"a": 1}), aio.delete("b"), aio.delete_many(["c"])]
                tasks = [asyncio.create_task(call) for call in calls]
                # Were any of these made on the loop's thread, the writer that it waits for could never end.
                for _ in range(20):
                    await asyncio.sleep(0)
                    assert await aio.get("key") == 0
                assert not any(task.done() for task in tasks)
            await asyncio.gather(*tasks)
            assert await aio.get_all() == {"a": 1, "key": 1}

    run(main())


def test_a_short_read_is_done_in_place(data_store: DataStore) -> None:
    if not data_store._is_inline:
        pytest.skip("a server is never read in place")
    data_store.set("key", 1)
    reads: list[tuple[Coroutine[Any, Any, Any], Any]] = [
        (data_store.aio.get("key"), 1),
        (data_store.aio.get("missing", 2), 2),
        (data_store.aio.get_record("missing"), None),
    ]
    for read, result in reads:
        # Without an event loop a coroutine gets exactly as far as it can go without waiting.
        with pytest.raises(StopIteration) as ended:
            read.send(None)
        assert ended.value.value == result


def test_many_writers_at_once(data_store: DataStore) -> None:
    async def main() -> None:
        await asyncio.gather(*(data_store.aio.set(str(number), number) for number in range(300)))
        assert await data_store.aio.count() == 300

    run(main())


def test_several_event_loops(data_store: DataStore) -> None:
    def work(number: int) -> None:
        async def main() -> None:
            for turn in range(20):
                await data_store.aio.set(f"{number}:{turn}", turn)

        asyncio.run(main())

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert data_store.count() == 80


def test_a_cancelled_task_ends_at_once(file_url: str, blocked: Blocked) -> None:
    async def main() -> None:
        async with connect(file_url).aio as aio:
            await aio.set("key", 0)
            with blocked():
                task = asyncio.create_task(aio.set("key", 1))
                await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert await aio.get("key") == 0
            await aio.set("other", 2)
            assert await aio.get("other") == 2

    run(main())


def test_a_handle_is_let_go_with_its_last_user(file_url: str) -> None:
    async def main() -> None:
        aio = connect(file_url).aio
        await aio.set("key", 1)

    run(main())
    gc.collect()
    with connect(file_url) as data_store:
        assert data_store.get("key") == 1
