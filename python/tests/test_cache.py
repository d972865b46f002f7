"""A cache in which one caller computes and the others wait for it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import WaitUntil
from helpers import in_processes, interrupted_while_waiting, process, together

from agent_data_store import DataStore, InvalidArgumentError, NotSerializableError, TooLargeError, connect


class Counting:
    """A function that counts its calls."""

    def __init__(self, result: Any = None) -> None:
        self.calls = 0
        self.result = result

    def __call__(self) -> Any:
        self.calls += 1
        return self.result


@pytest.mark.parametrize("result", [{"a": [1]}, None, 0, False, "", []])
def test_it_is_computed_once(data_store: DataStore, result: Any) -> None:
    compute = Counting(result)
    assert data_store.get_or_compute("key", compute) == result
    assert data_store.get_or_compute("key", compute) == result
    assert compute.calls == 1
    assert data_store.get_all() == {"key": result}


def test_a_value_that_is_there_is_taken(data_store: DataStore) -> None:
    data_store.set("key", 1)
    compute = Counting(2)
    assert data_store.get_or_compute("key", compute) == 1
    assert compute.calls == 0
    with pytest.raises(TypeError, match="function is int, not a function"):
        data_store.get_or_compute("key", 5)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="ttl is not positive"):
        data_store.get_or_compute("key", compute, ttl=0)


def test_it_expires(data_store: DataStore, wait_until: WaitUntil) -> None:
    compute = Counting(1)
    data_store.get_or_compute("key", compute, ttl=0.02)
    wait_until(lambda: data_store.get("key") is None)
    data_store.get_or_compute("key", compute, ttl=60)
    assert compute.calls == 2


def test_what_the_function_raises_is_passed_on_and_nothing_kept(data_store: DataStore) -> None:
    error = KeyError("mine")

    def fail() -> None:
        raise error

    with pytest.raises(KeyError) as raised:
        data_store.get_or_compute("key", fail)
    assert raised.value is error
    with pytest.raises(NotSerializableError, match=r"the computed value at \$ is set"):
        data_store.get_or_compute("key", Counting({1}))
    with pytest.raises(KeyboardInterrupt):
        data_store.get_or_compute("key", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    assert data_store.list_keys() == []
    assert data_store.get_or_compute("key", Counting(1)) == 1


def test_a_function_cannot_ask_for_what_it_computes(data_store: DataStore) -> None:
    @data_store.cached(key="factorial")
    def factorial(n: int) -> int:
        return 1 if n == 0 else n * factorial(n - 1)

    assert factorial(5) == 120
    with pytest.raises(InvalidArgumentError, match='key "a" is being computed by this very caller') as raised:
        data_store.get_or_compute("a", lambda: data_store.get_or_compute("a", Counting(1)))
    assert raised.value.key == "a"

    async def main() -> None:
        async def recursive() -> int:
            return await data_store.aio.get_or_compute("a", Counting(1))

        with pytest.raises(InvalidArgumentError, match="its function cannot ask for it"):
            await data_store.aio.get_or_compute("a", recursive)

    asyncio.run(main())
    assert data_store.get_or_compute("a", Counting(2)) == 2


def test_a_coroutine_function_is_for_aio(data_store: DataStore) -> None:
    async def compute() -> int:
        return 1

    with pytest.raises(TypeError, match=r"the function is a coroutine function: .* use data_store\.aio"):
        _ = data_store.get_or_compute("key", compute)
    assert data_store.list_keys() == []


def test_one_of_many_threads_computes(data_store: DataStore) -> None:
    calls = []

    def work(number: int) -> Any:
        def compute() -> int:
            calls.append(number)
            # Others have the time to ask.
            for _ in range(20):
                data_store.set("other", number)
            return number

        return data_store.get_or_compute("key", compute)

    results = together(8, work)
    assert len(calls) == 1 and results == calls * 8


def test_one_of_many_processes_computes(file_store: DataStore, file_url: str) -> None:
    code = """
import os
from agent_data_store import connect
data_store = connect(sys.argv[1], user="alice")
def compute():
    print("computing")
    for _ in range(20):
        data_store.set("other", 1)
    return os.getpid()
data_store.get_or_compute("key", compute)
"""
    assert sorted(in_processes(4, code, file_url)) == ["", "", "", "computing\n"]
    assert file_store.get("key") > 0


def test_another_one_takes_over_from_a_dead_one(file_store: DataStore, file_url: str) -> None:
    code = """
import sys
from agent_data_store import connect
def compute():
    print("ready", flush=True)
    sys.stdin.read()
connect(sys.argv[1], user="alice").get_or_compute("key", compute)
"""
    with process(code, file_url) as doomed:
        doomed.kill()
        # Its lease would last for 10 seconds: this is what happens at their end.
        assert file_store.delete("lock:compute:key")
        assert file_store.get_or_compute("key", Counting(5)) == 5


def test_an_interrupt_ends_the_wait(data_store: DataStore) -> None:
    computing, interrupted = threading.Event(), threading.Event()

    def compute() -> int:
        computing.set()
        interrupted.wait(60)
        return 1

    thread = threading.Thread(target=data_store.get_or_compute, args=("key", compute))
    thread.start()
    computing.wait()
    interrupted_while_waiting(lambda: data_store.get_or_compute("key", compute))
    interrupted.set()
    thread.join()
    assert data_store.get("key") == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")
@pytest.mark.parametrize("fails", [False, True])
def test_a_function_may_fork(file_store: DataStore, fails: bool) -> None:
    parent = os.getpid()

    def compute() -> int:
        child = os.fork()
        if child != 0:
            _, status = os.waitpid(child, 0)
            # The child has left the lock alone.
            assert file_store.get("lock:compute:key") is not None
            return status
        if fails:
            raise ZeroDivisionError
        return -1

    try:
        result = file_store.get_or_compute("key", compute)
    except BaseException as error:
        if os.getpid() == parent:
            raise
        told = "this fork of it" in str(error)
        os._exit(0 if isinstance(error, ZeroDivisionError) or told else 1)
    if os.getpid() != parent:
        os._exit(2)
    assert result == 0 == file_store.get("key")


def test_a_decorated_function(data_store: DataStore) -> None:
    calls = []

    @data_store.cached()
    def fetch(url: str, limit: int = 10, *, fresh: bool = False) -> dict[str, Any]:
        """What is fetched."""
        calls.append((url, limit, fresh))
        return {"url": url, "limit": limit}

    assert fetch.__doc__ == "What is fetched." and fetch.__name__ == "fetch"
    for _ in range(2):
        assert fetch("a") == fetch("a", 10) == fetch(url="a", limit=10) == {"url": "a", "limit": 10}
    assert fetch("a", fresh=True) and fetch("a", 11) and fetch("b")
    assert calls == [("a", 10, False), ("a", 10, True), ("a", 11, False), ("b", 10, False)]
    name = f"{__name__}.test_a_decorated_function.<locals>.fetch"
    assert f'{name}:["a",10]{{"fresh":false}}' in data_store.list_keys()
    with pytest.raises(TypeError, match="missing a required argument"):
        fetch()  # type: ignore[call-arg]


def test_keys_of_arguments(data_store: DataStore) -> None:
    seen: list[Any] = []

    @data_store.cached(key="prefix", ttl=60)
    def see(*args: Any, **kwargs: Any) -> int:
        seen.append((args, kwargs))
        return len(seen)

    assert see({"a": 1, "b": 2}) == see({"b": 2, "a": 1}) == 1
    different = [see(1), see("1"), see(1.5), see(True), see(None), see(1, 2), see([1, 2]), see({"x": 3}), see(x=3)]
    assert different == list(range(2, 11))
    assert see("long" * 1000) == see("long" * 1000) == 11
    assert all(key.startswith("prefix:") and len(key) < 501 for key in data_store.list_keys())
    record = data_store.get_record("prefix:[1]")
    assert record is not None and record.expires_at is not None
    with pytest.raises(
        NotSerializableError, match=r"the arguments of prefix make no key: arguments at \$\[0\] is object"
    ):
        see(object())
    with pytest.raises(InvalidArgumentError, match="the arguments of prefix make no key"):
        see(float("nan"))


def test_keys_of_ones_own(data_store: DataStore) -> None:
    class Repository:
        name = "mine"

        @data_store.cached(key=lambda self, path: f"{self.name}:{path}")
        def read(self, path: str) -> str:
            return path.upper()

    assert Repository().read("a") == Repository().read(path="a") == "A"
    assert data_store.list_keys() == ["mine:a"]
    with pytest.raises(InvalidArgumentError, match="without a name"):
        data_store.cached()(lambda: 1)
    with pytest.raises(TypeError, match="key is int"):
        data_store.cached(key=5)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="ttl is not positive"):
        data_store.cached(ttl=0)
    with pytest.raises((InvalidArgumentError, TooLargeError)):
        data_store.cached(key=lambda: "k" * 1020)(Counting(1))()


def test_every_program_has_keys_of_its_own(file_store: DataStore, file_url: str, tmp_path: Path) -> None:
    code = """
import sys
from agent_data_store import connect
data_store = connect(sys.argv[1], user="alice")
@data_store.cached()
def who(n):
    return sys.argv[0]
who(1)
"""
    for name in ("one", "two", "two"):
        path = tmp_path / f"{name}.py"
        path.write_text(code)
        subprocess.run([sys.executable, path, file_url], check=True)
    assert file_store.list_keys() == ["one.who:[1]", "two.who:[1]"]


def test_as_coroutines(data_store: DataStore) -> None:
    calls: list[str] = []

    async def compute() -> Any:
        calls.append("computed")
        await asyncio.sleep(0.01)
        return None

    async def main() -> None:
        aio = data_store.aio
        assert await asyncio.gather(*(aio.get_or_compute("key", compute, ttl=60) for _ in range(100))) == [None] * 100
        assert calls == ["computed"]
        assert await aio.get_or_compute("plain", Counting(1)) == 1

        async def fail() -> None:
            raise KeyError("mine")

        with pytest.raises(KeyError):
            await aio.get_or_compute("other", fail)

        stuck = asyncio.Event()
        computing = asyncio.Event()

        async def never() -> None:
            computing.set()
            await stuck.wait()

        task = asyncio.create_task(aio.get_or_compute("other", never))
        await computing.wait()
        waiting = asyncio.create_task(aio.get_or_compute("other", Counting(2)))
        await asyncio.sleep(0)
        task.cancel()
        # The one that computes is gone, so the next one does.
        assert await waiting == 2
        assert task.cancelled()

    asyncio.run(main(), debug=True)
    assert data_store.list_keys() == ["key", "other", "plain"]


@pytest.mark.parametrize("face", [lambda data_store: data_store, lambda data_store: data_store.aio])
def test_a_decorated_coroutine_function(data_store: DataStore, face: Callable[[DataStore], Any]) -> None:
    calls = []

    @face(data_store).cached(ttl=60)  # type: ignore[untyped-decorator]
    async def fetch(url: str) -> str:
        calls.append(url)
        return url.upper()

    async def main() -> None:
        assert await asyncio.gather(*(fetch("a") for _ in range(10))) == ["A"] * 10
        assert await fetch("b") == "B"

    asyncio.run(main())
    assert sorted(calls) == ["a", "b"]
    with pytest.raises(TypeError, match="would stop the event loop"):
        data_store.aio.cached()(Counting())


def test_an_exit_in_the_middle(file_url: str) -> None:
    code = """
from agent_data_store import connect
data_store = connect(sys.argv[1], user="alice")
data_store.get_or_compute("key", lambda: sys.exit(0))
"""
    in_processes(1, code, file_url)
    with connect(file_url, user="alice") as data_store:
        assert data_store.list_keys() == []
