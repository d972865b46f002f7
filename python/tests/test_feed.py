"""Waiting for values and following changes."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from conftest import WaitUntil
from helpers import in_child, in_processes, interrupted_while_waiting, process

from agent_data_store import Change, DataStore, InvalidArgumentError, connect


def told(changes: list[Change]) -> list[tuple[str, str, str | None]]:
    return [(change.kind, change.namespace, change.key) for change in changes]


def while_waiting(wait: Callable[[], Any], act: Callable[[], object]) -> Any:
    """The result of `wait`, in another thread, while this one does `act`."""
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(wait)
        act()
        return waiting.result(60)


def test_a_value_that_is_there_is_returned(data_store: DataStore) -> None:
    data_store.set("key", None)
    assert data_store.wait_for("key") is None
    assert data_store.wait_for("key", timeout=0, predicate=lambda value: value is None) is None


def test_waiting_for_a_value(data_store: DataStore) -> None:
    assert while_waiting(lambda: data_store.wait_for("key"), lambda: data_store.set("key", [1])) == [1]

    def count() -> None:
        for number in range(5):
            data_store.set("n", number)

    found = while_waiting(lambda: data_store.wait_for("n", predicate=lambda n: n == 4, timeout=60), count)
    assert found == 4


def test_waiting_for_the_next_write(data_store: DataStore) -> None:
    data_store.set("key", "old")
    record = data_store.get_record("key")
    assert record is not None
    with pytest.raises(TimeoutError):
        data_store.wait_for("key", since_version=record.version, timeout=0)
    found = while_waiting(
        lambda: data_store.wait_for("key", since_version=record.version, timeout=timedelta(minutes=1)),
        lambda: data_store.set("key", "new"),
    )
    assert found == "new"


def test_waiting_has_an_end(data_store: DataStore) -> None:
    with pytest.raises(TimeoutError, match=r'key "key" did not get the value that was waited for within 0\.02 s'):
        data_store.wait_for("key", timeout=0.02)
    data_store.set("key", 1)
    with pytest.raises(ZeroDivisionError):
        data_store.wait_for("key", predicate=lambda value: value / 0)
    with pytest.raises(TypeError, match="predicate is int, not a function"):
        data_store.wait_for("key", predicate=5)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="timeout is not a number of seconds"):
        data_store.wait_for("key", timeout=-1)
    with pytest.raises(InvalidArgumentError, match="since_version is no version"):
        data_store.wait_for("key", since_version=-1)


def test_a_predicate_that_nobody_awaits_is_refused(data_store: DataStore) -> None:
    async def reject(value: object) -> bool:
        return False

    data_store.set("key", 1)
    with pytest.raises(TypeError, match=r"the function is a coroutine function: .* use data_store\.aio"):
        data_store.wait_for("key", predicate=reject)


@pytest.mark.parametrize("error", [RuntimeError, SystemExit])
def test_a_signal_handler_may_end_the_wait(data_store: DataStore, error: type[BaseException]) -> None:
    def end(*_: object) -> None:
        raise error("by signal")

    before = signal.signal(signal.SIGALRM, end)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        with pytest.raises(error, match="by signal"):
            data_store.wait_for("key")
    finally:
        signal.signal(signal.SIGALRM, before)
    assert data_store.get("key") is None


def test_a_thread_that_waits_does_not_hold_up_the_exit(file_url: str) -> None:
    code = """
import threading
from agent_data_store import connect
data_store = connect(sys.argv[1])
for wait in (data_store.wait_for, data_store.use_namespace("n").wait_for):
    threading.Thread(target=wait, args=("never",), daemon=True).start()
next(data_store.watch(timeout=0.05), None)
print("bye")
"""
    assert in_processes(1, code, file_url) == ["bye\n"]


def test_an_interrupt_ends_the_wait(data_store: DataStore) -> None:
    interrupted_while_waiting(lambda: data_store.wait_for("key"))
    interrupted_while_waiting(lambda: next(data_store.watch()))


def test_another_process_is_noticed(file_store: DataStore, file_url: str) -> None:
    code = """
import sys
from agent_data_store import connect
data_store = connect(sys.argv[1], user="alice", agent="other")
print("ready", flush=True)
for line in sys.stdin:
    data_store.set(line.strip(), 1)
"""
    with process(code, file_url) as other:
        assert other.stdin is not None
        watch = file_store.watch(timeout=60)
        other.stdin.write("a\nb\n")
        other.stdin.flush()
        assert file_store.wait_for("b", timeout=60) == 1
        changes = [next(watch), next(watch)]
        assert told(changes) == [("set", "default", "a"), ("set", "default", "b")]
        assert changes[0].agent == "other"


def test_changes(data_store: DataStore, wait_until: WaitUntil) -> None:
    assert data_store.changes() == []
    other = data_store.use_namespace("other")
    data_store.set("a", 1)
    other.increment("n")
    data_store.delete("a")
    other.clear()
    changes = data_store.changes()
    assert told(changes) == [
        ("set", "default", "a"),
        ("set", "other", "n"),
        ("delete", "default", "a"),
        ("clear", "other", None),
    ]
    assert changes == other.changes(0, 1000)
    assert [change.version for change in changes] == sorted({change.version for change in changes})
    assert {change.agent for change in changes} == {"tester"}
    assert abs(datetime.now(timezone.utc) - changes[0].at) < timedelta(minutes=1)
    assert data_store.changes(changes[1].version, limit=1) == changes[2:3]
    assert data_store.changes(changes[-1].version) == []
    for arguments in ({"limit": 0}, {"since": -1}):
        with pytest.raises(InvalidArgumentError):
            data_store.changes(**arguments)
    for bad in ({"limit": "1"}, {"since": 1.5}, {"since": None}, {"limit": None}):
        with pytest.raises(TypeError, match="not int"):
            data_store.changes(**bad)


def test_an_expiry_is_a_change(file_store: DataStore) -> None:
    watch = file_store.watch(timeout=60)
    file_store.set("gone", 1, ttl=0.01)
    assert [next(watch).kind, next(watch).kind] == ["set", "expire"]


def test_a_watch_sees_its_part(data_store: DataStore) -> None:
    data_store.set("a:before", 1)
    watch = data_store.watch("a:", timeout=0)
    assert list(watch) == []
    data_store.set_many({"a:1": 1, "b": 1, "a:2": 1})
    data_store.use_namespace("other").set("a:3", 1)
    assert repr(watch) == f"Watch(namespace='default', prefix='a:', position={watch.position})"
    first = next(watch)
    assert first.key == "a:1" and watch.position == first.version
    assert [change.key for change in watch] == ["a:2"]
    # The one elsewhere was passed over.
    assert data_store.watch(since=watch.position, timeout=0).position >= data_store.changes()[-1].version
    again = data_store.watch("a:", since=first.version, timeout=0)
    assert [change.key for change in again] == ["a:2"]
    assert [change.key for change in data_store.watch("a:", since=0, timeout=0)] == ["a:before", "a:1", "a:2"]


def test_nothing_is_missed_and_nothing_seen_twice(data_store: DataStore) -> None:
    watch = data_store.watch(timeout=60)
    count = 200

    def write() -> None:
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda number: data_store.set(f"{number % 7}", number), range(count)))

    seen = while_waiting(lambda: [next(watch) for _ in range(count)], write)
    assert [change.version for change in seen] == [change.version for change in data_store.changes()]
    assert len({change.version for change in seen}) == count


def test_a_watch_is_for_one_thread_at_a_time(data_store: DataStore) -> None:
    watch = data_store.watch()
    seen: list[Change] = []
    failed = threading.Semaphore(0)

    def wait() -> None:
        try:
            seen.append(next(watch))
        except InvalidArgumentError as error:
            assert "waiting elsewhere already" in str(error)
            failed.release()

    threads = [threading.Thread(target=wait) for _ in range(2)]
    for thread in threads:
        thread.start()
    failed.acquire()
    data_store.set("key", 1)
    for thread in threads:
        thread.join()
    assert [change.key for change in seen] == ["key"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")
def test_a_watch_goes_on_on_both_sides_of_a_fork(file_store: DataStore) -> None:
    watch = file_store.watch(timeout=60)
    file_store.set("a", 1)

    def child() -> str | None:
        assert next(watch).key == "a"
        file_store.set("b", 1)
        return next(watch).key

    assert in_child(child) == "b"
    assert [next(watch).key, next(watch).key] == ["a", "b"]


def test_as_coroutines(data_store: DataStore) -> None:
    async def main() -> None:
        aio = data_store.aio
        # More than there are threads.
        waiting = [asyncio.create_task(aio.wait_for("key")) for _ in range(100)]
        await asyncio.sleep(0)
        await aio.set("key", 1)
        assert await asyncio.gather(*waiting) == [1] * 100

        async def accept(value: int) -> bool:
            await asyncio.sleep(0)
            return value > 1

        task = asyncio.create_task(aio.wait_for("key", predicate=accept, timeout=60))
        await aio.increment("key")
        assert await task == 2
        assert await aio.wait_for("key", predicate=lambda value: value == 2) == 2
        with pytest.raises(TimeoutError):
            await aio.wait_for("key", since_version=10**9, timeout=0.01)
        with pytest.raises(ZeroDivisionError):
            await aio.wait_for("key", predicate=lambda value: value / 0)
        with pytest.raises(TypeError, match="predicate is int"):
            await aio.wait_for("key", predicate=5)  # type: ignore[arg-type]
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(aio.wait_for("never"), 0.01)

        begin = (await aio.changes())[-1].version
        if data_store._is_inline:
            assert aio.watch().position == begin
            assert repr(aio.watch("a:")) == f"AsyncWatch(namespace='default', prefix='a:', position={begin})"
        else:
            # Asking for it would keep the event loop waiting.
            with pytest.raises(InvalidArgumentError, match="no position before its first step"):
                aio.watch().position  # noqa: B018
        watch = aio.watch("a:", since=begin, timeout=60)
        await aio.set_many({"a:1": 1, "b": 1, "a:2": 2})
        seen = [(await watch.__anext__()).key, (await watch.__anext__()).key]
        assert seen == ["a:1", "a:2"]
        assert [change.key async for change in aio.watch(since=begin, timeout=0)] == ["a:1", "b", "a:2"]
        assert told(await aio.changes(begin, 1)) == [("set", "default", "a:1")]
        # One that is cancelled goes on where it was.
        for number in range(20):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(watch.__anext__(), 0.001)
            await aio.set(f"a:{number}", 1)
            assert (await watch.__anext__()).key == f"a:{number}"

    asyncio.run(main(), debug=True)


def test_closing_ends_a_wait(file_url: str) -> None:
    data_store = connect(file_url)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(data_store.wait_for, "key")
        data_store.close()
        with pytest.raises(InvalidArgumentError, match="the store is closed"):
            waiting.result(60)


def test_a_change_that_nobody_receives_comes_again(data_store: DataStore) -> None:
    """What happens to the change of a coroutine that is cancelled at the last moment."""
    watch = data_store.watch()
    before = watch.position
    data_store.set_many({"a": 1, "b": 2})
    call = watch._start_next()
    assert call.advance(lambda: None)
    call.cancel()
    assert watch.position == before
    assert [next(watch).key, next(watch).key] == ["a", "b"]
