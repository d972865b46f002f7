"""Work that many share."""

from __future__ import annotations

import asyncio
import os
import threading
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from helpers import in_child, in_processes, interrupted_while_waiting, process, together

from agent_data_store import Claim, DataStore, FailedTask, InvalidArgumentError, LeaseLostError, NotSerializableError


def claimed(data_store: DataStore, **options: Any) -> Claim:
    claim = data_store.claim("job:", 60, **options)
    assert claim is not None
    return claim


def counts(data_store: DataStore) -> tuple[int, int, int, int]:
    summary = data_store.tasks("job:")
    return summary.waiting, len(summary.claimed), summary.done, len(summary.failed)


def test_a_task_from_claim_to_result(data_store: DataStore) -> None:
    assert data_store.claim("job:", 60) is None
    data_store.set_many({"job:1": {"n": 1}, "job:2": {"n": 2}, "other": 0})
    claim = claimed(data_store)
    assert (claim.key, claim.value, claim.attempt, claim.last_error) == ("job:1", {"n": 1}, 1, None)
    assert repr(claim) == "Claim(key='job:1', attempt=1)"
    assert claim.until is not None
    assert timedelta(seconds=50) < claim.until - datetime.now(timezone.utc) <= timedelta(seconds=60)
    summary = data_store.tasks("job:")
    assert (summary.waiting, summary.done, summary.failed) == (1, 0, [])
    (task,) = summary.claimed
    assert (task.key, task.agent, task.attempt, task.until) == ("job:1", "tester", 1, claim.until)
    claim.renew(timedelta(hours=1))
    assert claim.until - datetime.now(timezone.utc) > timedelta(minutes=59)
    second = claimed(data_store)
    assert second.key == "job:2" and data_store.claim("job:", 60) is None
    claim.complete({"result": 1})
    second.complete()
    assert data_store.use_namespace("tasks-done:default").get_all() == {"job:1": {"result": 1}, "job:2": None}
    assert data_store.list_keys() == ["other"]
    assert counts(data_store) == (0, 0, 2, 0) and data_store.tasks().waiting == 1
    for end in (claim.complete, claim.release, lambda: claim.fail("late"), lambda: claim.renew(1)):
        with pytest.raises(InvalidArgumentError, match="was ended before"):
            end()


def test_what_is_done_is_not_done_again(data_store: DataStore) -> None:
    data_store.set("job:1", 1)
    claimed(data_store).complete("first")
    data_store.set_many({"job:1": 1, "job:2": 2})
    assert claimed(data_store).key == "job:2"
    assert data_store.list_keys() == ["job:2"]


def test_failures_are_given_back_or_set_aside(data_store: DataStore) -> None:
    data_store.set("job:1", 1)
    claimed(data_store).fail("first", retry_in=0)
    claim = claimed(data_store)
    assert (claim.attempt, claim.last_error) == (2, "first")
    claim.fail(ValueError("second"), timedelta(milliseconds=1))
    claim = claimed(data_store, wait=60)
    assert (claim.attempt, claim.last_error) == (3, "ValueError: second")
    claim.fail("later", 3600)
    assert data_store.claim("job:", 60) is None and counts(data_store) == (1, 0, 0, 0)
    data_store.set("job:2", 2)
    claimed(data_store).fail("for good")
    assert data_store.tasks("job:").failed == [FailedTask("job:2", 1, "for good")]
    assert data_store.use_namespace("tasks-failed:default").get_all() == {"job:2": 2}


def test_a_release_does_not_count(data_store: DataStore) -> None:
    data_store.set("job:1", 1)
    claimed(data_store).release()
    assert claimed(data_store).attempt == 1


def test_a_poisonous_task_is_set_aside(data_store: DataStore) -> None:
    data_store.set("job:1", 1)
    for _ in range(3):
        claimed(data_store, max_attempts=3).fail("again", retry_in=0)
    assert data_store.claim("job:", 60, max_attempts=3) is None
    assert data_store.tasks("job:").failed == [FailedTask("job:1", 3, "again")]


def test_the_end_of_a_block(data_store: DataStore) -> None:
    data_store.set_many({f"job:{number}": number for number in range(5)})
    with claimed(data_store) as claim:
        assert claim.key == "job:0"
    with claimed(data_store) as claim:
        claim.complete("mine")
    assert data_store.use_namespace("tasks-done:default").get_all() == {"job:0": None, "job:1": "mine"}
    with pytest.raises(KeyboardInterrupt), claimed(data_store) as claim:
        raise KeyboardInterrupt
    with pytest.raises(ZeroDivisionError), claimed(data_store) as claim:
        assert (claim.key, claim.attempt) == ("job:2", 1)
        _ = 1 / 0
    # It waits for a second, so that a task that fails at once does not keep everybody busy.
    assert claimed(data_store).key == "job:3"
    claim = data_store.claim("job:2", 60, wait=60)  # type: ignore[assignment]
    assert (claim.attempt, claim.last_error) == (2, "ZeroDivisionError: division by zero")
    with pytest.raises(ZeroDivisionError), claimed(data_store) as claim:
        claim.fail("my words")
        _ = 1 / 0
    assert data_store.tasks("job:").failed == [FailedTask("job:4", 1, "my words")]


def test_one_claim_is_for_one_block(data_store: DataStore) -> None:
    data_store.set_many({"job:1": 1, "job:2": 2})
    claim = claimed(data_store)
    with claim:
        with pytest.raises(InvalidArgumentError, match="was ended, or is in use by a block"), claim:
            raise AssertionError("the inner block would have completed the task of the outer one")
        assert counts(data_store) == (1, 1, 0, 0)
    # Somebody else may have the task by now.
    with pytest.raises(InvalidArgumentError, match="was ended, or is in use by a block"), claim:
        raise AssertionError

    async def main() -> None:
        claim = await data_store.aio.claim("job:", 60)
        assert claim is not None
        async with claim:
            pass
        with pytest.raises(InvalidArgumentError):
            async with claim:
                raise AssertionError

    asyncio.run(main())
    assert counts(data_store) == (0, 0, 2, 0)


def test_threads_end_a_claim_once(data_store: DataStore) -> None:
    data_store.set("job:1", 1)
    claim = claimed(data_store)

    def end(number: int) -> bool:
        try:
            claim.complete(number)
        except InvalidArgumentError:
            return False
        return True

    assert sum(together(8, end)) == 1 and counts(data_store) == (0, 0, 1, 0)


def test_a_claim_that_was_taken_over_is_lost(data_store: DataStore) -> None:
    data_store.set("job:1", 1)
    claim = data_store.claim("job:", 0.001)
    other = claimed(data_store, wait=60)
    assert claim is not None and other.attempt == 2
    with pytest.raises(LeaseLostError) as raised, claim:
        pass
    assert raised.value.key == "job:1"
    with pytest.raises(InvalidArgumentError, match="was ended before"):
        claim.complete()
    claim = data_store.claim("job:", 60)
    assert claim is None
    other.complete()
    data_store.set("job:2", 1)
    claim = data_store.claim("job:", 0.001)
    other = claimed(data_store, wait=60)
    with pytest.raises(ZeroDivisionError), claim:  # type: ignore[union-attr]
        _ = 1 / 0
    other.complete()


def test_arguments(data_store: DataStore) -> None:
    data_store.set("job:1", 1)
    with pytest.raises(InvalidArgumentError, match="ttl is not positive"):
        data_store.claim("job:", 0)
    with pytest.raises(InvalidArgumentError, match="ttl is not a finite number of seconds: give how long others"):
        data_store.claim("job:", float("inf"))
    with pytest.raises(TypeError, match="ttl is NoneType"):
        data_store.claim("job:", None)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="max_attempts is not positive"):
        data_store.claim("job:", 1, max_attempts=0)
    claim = claimed(data_store)
    with pytest.raises(NotSerializableError, match=r"result at \$ is object"):
        claim.complete(object())
    with pytest.raises(TypeError, match="error is int, not str"):
        claim.fail(5)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="retry_in is not a number of seconds"):
        claim.fail("", -1)
    claim.fail(ValueError("\ud800" + "x" * 100_000))
    (task,) = data_store.tasks().failed
    assert task.error is not None and len(task.error) == 1000


def test_threads_share_the_work(data_store: DataStore) -> None:
    data_store.set_many({f"job:{number:03}": number for number in range(100)})
    done: list[str] = []

    def work(number: int) -> None:
        while claim := data_store.claim("job:", 60):
            with claim:
                done.append(claim.key)

    together(4, work)
    assert sorted(done) == [f"job:{number:03}" for number in range(100)]
    assert counts(data_store) == (0, 0, 100, 0)


def test_processes_share_the_work(file_store: DataStore, file_url: str) -> None:
    file_store.set_many({f"job:{number:03}": number for number in range(100)})
    code = """
from agent_data_store import connect
data_store = connect(sys.argv[1] + "?durability=relaxed", user="alice")
while claim := data_store.claim("job:", 60):
    claim.complete(claim.value * 2)
    print(claim.key)
"""
    lines = [line for output in in_processes(3, code, file_url) for line in output.splitlines()]
    assert sorted(lines) == [f"job:{number:03}" for number in range(100)]
    results = file_store.use_namespace("tasks-done:default").get_all()
    assert results == {f"job:{number:03}": number * 2 for number in range(100)}


def test_a_task_of_a_dead_process_runs_again(file_store: DataStore, file_url: str) -> None:
    file_store.set("job:1", 1)
    code = """
import sys
from agent_data_store import connect
claim = connect(sys.argv[1], user="alice").claim("job:", 1)
print("ready", flush=True)
sys.stdin.read()
"""
    with process(code, file_url) as doomed:
        doomed.kill()
        assert claimed(file_store, wait=60).attempt == 2


def test_waiting_for_a_task(data_store: DataStore) -> None:
    found = []
    thread = threading.Thread(target=lambda: found.append(data_store.claim("job:", 60, wait=None)))
    thread.start()
    data_store.set("job:1", 1)
    thread.join(60)
    assert [claim.key for claim in found if claim] == ["job:1"]
    interrupted_while_waiting(lambda: data_store.claim("job:", 60, wait=None))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")
def test_a_claim_stays_with_the_parent(file_store: DataStore) -> None:
    file_store.set("job:1", 1)
    claim = claimed(file_store)

    def child() -> str:
        with pytest.raises(LeaseLostError, match="before its fork"):
            claim.complete()
        assert file_store.claim("job:", 60) is None
        return "done"

    assert in_child(child) == "done"
    claim.complete(2)
    assert counts(file_store) == (0, 0, 1, 0)


def test_as_coroutines(data_store: DataStore) -> None:
    async def main() -> None:
        aio = data_store.aio
        assert await aio.claim("job:", 60) is None
        await aio.set_many({f"job:{number}": number for number in range(6)})
        claim = await aio.claim("job:", 60)
        assert claim is not None and (claim.key, claim.value, claim.attempt) == ("job:0", 0, 1)
        assert claim.last_error is None and repr(claim) == "AsyncClaim(key='job:0', attempt=1)"
        before = claim.until
        await claim.renew(3600)
        assert before is not None and claim.until is not None and claim.until > before
        await claim.release()
        for _ in range(2):
            claim = await aio.claim("job:", 60)
            assert claim is not None and claim.attempt == 1
            async with claim:
                await claim.complete(claim.value)
        claim = await aio.claim("job:", 60)
        assert claim is not None
        await claim.fail("for good")
        with pytest.raises(ZeroDivisionError):
            async with await aio.claim("job:", 60):  # type: ignore[union-attr]
                _ = 1 / 0
        async with await aio.claim("job:", 60):  # type: ignore[union-attr]
            pass

        async def stopped() -> None:
            async with await aio.claim("job:", 60):  # type: ignore[union-attr]
                begun.set()
                await asyncio.Event().wait()

        begun = asyncio.Event()
        task = asyncio.create_task(stopped())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        claim = await aio.claim("job:", 60)
        assert claim is not None and (claim.key, claim.attempt) == ("job:5", 1)
        summary = await aio.tasks("job:")
        assert (summary.waiting, len(summary.claimed), summary.done) == (1, 1, 3)
        assert summary.failed == [FailedTask("job:2", 1, "for good")]

        waiting = [asyncio.create_task(aio.claim("new:", 60, wait=None)) for _ in range(100)]
        await asyncio.sleep(0)
        await aio.set_many({f"new:{number}": number for number in range(50)})
        for number, each in enumerate(asyncio.as_completed(waiting), start=1):
            assert await each is not None
            if number == 50:
                break
        for each in waiting:
            each.cancel()
        await asyncio.wait(waiting)
        assert (await aio.tasks("new:")).waiting == 0

    asyncio.run(main())


def test_a_claim_that_nobody_receives_is_released(data_store: DataStore) -> None:
    """What happens to the claim of a coroutine that is cancelled at the last moment."""
    data_store.set("job:1", 1)
    call = data_store._start_claim("job:", 60, 0, None)
    assert call.advance(lambda: None) and counts(data_store) == (0, 1, 0, 0)
    call.cancel()
    assert counts(data_store) == (1, 0, 0, 0)
