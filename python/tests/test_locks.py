"""Locks that cannot be held for ever."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from conftest import Blocked, WaitUntil
from helpers import in_child, in_processes, interrupted_while_waiting, process, together

from agent_data_store import AsyncLease, DataStore, InvalidArgumentError, LeaseHeldError, LeaseLostError, connect


def elsewhere(work: Callable[[], Any]) -> Any:
    """Runs `work` in another thread, which counts as somebody else."""
    return together(1, lambda number: work())[0]


def test_a_lock_is_held_for_the_block(data_store: DataStore) -> None:
    with data_store.lock("printer") as lease:
        assert lease.is_held and lease.resource == "printer"
        lease.renew()
        assert repr(lease) == f"Lease(resource='printer', token={lease.token}, is_held=True)"
        with pytest.raises(LeaseHeldError) as raised:
            elsewhere(lambda: data_store.lock("printer"))
        error = raised.value
        assert error.holder == "tester" and error.retryable and error.key == "lock:printer"
        assert error.expires_at is not None
        assert timedelta(seconds=290) < error.expires_at - datetime.now(timezone.utc) <= timedelta(seconds=300)
        with data_store.lock("other"):
            pass
    assert not lease.is_held
    assert data_store.list_keys() == []
    lease.release()
    with pytest.raises(InvalidArgumentError, match="was released: take it again"):
        lease.renew()


def test_tokens_rise(data_store: DataStore) -> None:
    tokens = []
    for _ in range(3):
        with data_store.lock("x") as lease:
            tokens.append(lease.token)
    assert tokens == sorted(set(tokens))


def test_it_is_released_when_the_block_raises(data_store: DataStore) -> None:
    for error in (ZeroDivisionError, KeyboardInterrupt):
        with pytest.raises(error), data_store.lock("x"):
            raise error
        assert data_store.list_keys() == []


def test_it_is_released_when_nobody_has_it_any_more(data_store: DataStore, wait_until: WaitUntil) -> None:
    lease = data_store.lock("x")
    assert lease.is_held
    del lease
    wait_until(lambda: data_store.list_keys() == [])


def test_it_is_not_reentrant(data_store: DataStore) -> None:
    with data_store.lock("x"):
        for wait in (0, 60, None):
            with pytest.raises(InvalidArgumentError, match="not re-entrant"):
                data_store.lock("x", wait=wait)


def test_one_lease_is_for_one_block(data_store: DataStore) -> None:
    lease = data_store.lock("x")
    with lease:
        with pytest.raises(InvalidArgumentError, match="was released, or is in use by a block"), lease:
            raise AssertionError("the inner block would have released the lock of the outer one")
        assert lease.is_held
    # A block that began now would not be protected.
    with pytest.raises(InvalidArgumentError, match="was released, or is in use by a block"), lease:
        raise AssertionError
    released = data_store.lock("x")
    released.release()
    with pytest.raises(InvalidArgumentError), released:
        raise AssertionError

    async def main() -> None:
        async with data_store.aio.lock("x") as lease:
            with pytest.raises(InvalidArgumentError):
                async with lease:
                    raise AssertionError
            assert lease.is_held
        with pytest.raises(InvalidArgumentError):
            async with lease:
                raise AssertionError
        taken = await data_store.aio.lock("x")
        async with taken:
            assert taken.is_held

    asyncio.run(main())
    assert data_store.list_keys() == []


def test_closing_the_store_releases(file_store: DataStore, file_url: str) -> None:
    with connect(file_url, user="alice", agent="other") as other:
        lease = other.use_namespace("default").lock("x")
        mine = file_store.lock("y")
    assert not lease.is_held and mine.is_held
    lease.release()
    assert file_store.list_keys() == ["lock:y"]
    mine.release()


def test_waiting_for_a_lock(data_store: DataStore) -> None:
    order = []
    waiting = threading.Event()

    def work(number: int) -> None:
        if number == 0:
            with data_store.lock("x"):
                waiting.set()
                with pytest.raises(LeaseHeldError):
                    elsewhere(lambda: data_store.lock("x", wait=0.05))
                order.append("first")
        else:
            waiting.wait()
            with data_store.lock("x", wait=None if number == 1 else timedelta(minutes=1)):
                order.append("later")

    together(3, work)
    assert order == ["first", "later", "later"]


def test_a_lock_ends_with_its_time(file_store: DataStore, file_url: str) -> None:
    code = """
import sys
from agent_data_store import connect
lease = connect(sys.argv[1], user="alice", agent="doomed").lock("x", ttl=1)
print("ready", flush=True)
sys.stdin.read()
"""
    with process(code, file_url) as doomed:
        with pytest.raises(LeaseHeldError, match="doomed"):
            file_store.lock("x")
        doomed.send_signal(signal.SIGKILL)
        with file_store.lock("x", wait=20) as lease:
            assert lease.is_held


@pytest.mark.parametrize("ttl", [0, -1])
def test_the_arguments_are_checked(data_store: DataStore, ttl: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="ttl is not positive"):
        data_store.lock("x", ttl)
    with pytest.raises(InvalidArgumentError, match="wait is not a number of seconds from 0 on"):
        data_store.lock("x", wait=-1)
    with pytest.raises(TypeError, match="wait is str"):
        data_store.lock("x", wait="long")  # type: ignore[arg-type]
    # None is for ever elsewhere, which no lock may be.
    with pytest.raises(TypeError, match="ttl is NoneType"):
        data_store.lock("x", None)  # type: ignore[arg-type]
    for endless in (float("inf"), float("nan"), 10**400):
        with pytest.raises(InvalidArgumentError, match="ttl is not a finite number of seconds: give how long others"):
            data_store.lock("x", endless)
    with data_store.lock("x", timedelta.max, wait=float("inf")) as lease:
        assert lease.is_held
    with pytest.raises(TypeError, match="resource is int, not str"):
        data_store.lock(5)  # type: ignore[arg-type]


def test_a_lock_that_was_taken_over_is_lost(data_store: DataStore) -> None:
    with pytest.raises(LeaseLostError) as raised, data_store.lock("x") as lease:
        data_store.delete("lock:x")
        other = elsewhere(lambda: data_store.lock("x"))
        with pytest.raises(LeaseLostError):
            lease.renew()
        assert not lease.is_held
    assert raised.value.key == "lock:x"
    assert other.is_held and other.token > lease.token
    other.release()
    with pytest.raises(ZeroDivisionError), data_store.lock("x"):
        data_store.delete("lock:x")
        _ = 1 / 0


def test_threads_exclude_each_other(data_store: DataStore) -> None:
    def work(number: int) -> None:
        for _ in range(20):
            with data_store.lock("x", wait=60):
                data_store.set("n", data_store.get("n", 0) + 1)

    together(4, work)
    assert data_store.get("n") == 80


def test_processes_exclude_each_other(file_store: DataStore, file_url: str) -> None:
    code = """
from agent_data_store import connect
data_store = connect(sys.argv[1] + "?durability=relaxed", user="alice")
for _ in range(20):
    with data_store.lock("x", wait=60):
        data_store.set("n", data_store.get("n", 0) + 1)
"""
    in_processes(3, code, file_url)
    assert file_store.get("n") == 60


def test_an_interrupt_ends_the_wait(data_store: DataStore) -> None:
    lease = elsewhere(lambda: data_store.lock("x"))
    interrupted_while_waiting(lambda: data_store.lock("x", wait=None))
    lease.release()
    with data_store.lock("x"):
        pass


def test_exiting_releases(file_store: DataStore, file_url: str) -> None:
    code = """
from agent_data_store import connect
lease = connect(sys.argv[1], user="alice").lock("x")
"""
    in_processes(1, code, file_url)
    with file_store.lock("x") as lease:
        assert lease.is_held


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")
def test_a_lock_stays_with_the_parent(file_store: DataStore) -> None:
    with file_store.lock("x") as lease:

        def child() -> str:
            assert not lease.is_held
            for use in (lease.renew, lease.release):
                with pytest.raises(LeaseLostError, match="by the process that took it"):
                    use()
            with pytest.raises(LeaseHeldError):
                file_store.lock("x")
            with file_store.lock("y"):
                return "done"

        assert in_child(child) == "done"
        assert lease.is_held
        lease.renew()
        assert file_store.list_keys() == ["lock:x"]


def test_as_coroutines(file_url: str) -> None:
    async def main() -> None:
        with connect(file_url, agent="tester") as data_store:
            aio = data_store.aio
            async with aio.lock("x") as lease:
                assert lease.is_held and lease.resource == "x" and lease.token > 0
                await lease.renew()
                with pytest.raises(InvalidArgumentError, match="not re-entrant"):
                    await aio.lock("x", wait=60)

                async def impatient() -> None:
                    with pytest.raises(LeaseHeldError):
                        await aio.lock("x", wait=0.05)

                async def patient() -> int:
                    async with aio.lock("x", wait=60) as later:
                        return later.token

                await asyncio.create_task(impatient())
                # More than there are threads, which all stay free for others.
                waiting = [asyncio.create_task(patient()) for _ in range(100)]
                await asyncio.sleep(0)
                await aio.set("key", 1)
                assert await aio.increment("key") == 2
            tokens = await asyncio.gather(*waiting)
            assert len(set(tokens)) == 100 and min(tokens) > lease.token
            assert not lease.is_held
            assert await aio.list_keys() == ["key"]
            free = aio.lock("y")
            assert not free.is_held
            with pytest.raises(InvalidArgumentError, match="is not taken"):
                await free.release()
            assert await free is free
            with pytest.raises(InvalidArgumentError, match="taken with this object"):
                await free
            await free.release()

    asyncio.run(main(), debug=True)


def test_a_coroutine_that_is_cancelled_leaves_no_lock(data_store: DataStore, wait_until: WaitUntil) -> None:
    async def main() -> None:
        aio = data_store.aio

        async def wait() -> None:
            async with aio.lock("x", wait=None):
                await asyncio.Event().wait()

        async with aio.lock("x"):
            tasks = [asyncio.create_task(wait()) for _ in range(10)]
            await asyncio.sleep(0)
            for task in tasks[:5]:
                task.cancel()
            await asyncio.wait(tasks[:5])
        # One of the others holds it now, and is cancelled as such.
        for task in tasks[5:]:
            task.cancel()
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks)

    asyncio.run(main())
    wait_until(lambda: data_store.list_keys() == [])


def test_a_block_that_is_cancelled_at_its_end_leaves_no_lock(
    file_url: str, blocked: Blocked, wait_until: WaitUntil
) -> None:
    with connect(file_url, user="alice") as data_store:

        async def main() -> AsyncLease:
            lease = data_store.aio.lock("x")
            ending = asyncio.Event()

            async def work() -> None:
                async with lease:
                    await ending.wait()

            task = asyncio.create_task(work())
            while not lease.is_held:
                await asyncio.sleep(0.001)
            with blocked():
                # All threads are busy, so that the release is still to come when the task is cancelled.
                writes = [asyncio.create_task(data_store.aio.set(str(number), number)) for number in range(200)]
                await asyncio.sleep(0)
                ending.set()
                for _ in range(3):
                    await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert lease.is_held
            await asyncio.gather(*writes)
            return lease

        lease = asyncio.run(main())
        wait_until(lambda: data_store.get("lock:x") is None)
        assert not lease.is_held


def test_a_lost_lock_ends_a_coroutine_block(data_store: DataStore) -> None:
    async def main() -> None:
        with pytest.raises(LeaseLostError):
            async with data_store.aio.lock("x") as lease:
                data_store.delete("lock:x")
                with pytest.raises(LeaseLostError):
                    await lease.renew()
        with pytest.raises(ZeroDivisionError):
            async with data_store.aio.lock("x"):
                data_store.delete("lock:x")
                _ = 1 / 0

    asyncio.run(main())
