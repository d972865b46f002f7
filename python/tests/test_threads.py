"""One object, many threads."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from conftest import Blocked

from agent_data_store import ConflictError, DataStore, InvalidArgumentError, connect


def together(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Runs `work` in `count` threads that start at the same moment."""
    ready = threading.Barrier(count)

    def begin(number: int) -> Any:
        ready.wait()
        return work(number)

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(begin, range(count)))


def test_writes_of_many_threads_all_arrive(data_store: DataStore) -> None:
    def write(number: int) -> None:
        for turn in range(100):
            data_store.set(f"{number}:{turn}", {"number": number, "turn": turn})
            assert data_store.get(f"{number}:{turn}") == {"number": number, "turn": turn}

    together(8, write)
    assert data_store.count() == 800
    assert data_store.get_all() == {f"{n}:{t}": {"number": n, "turn": t} for n in range(8) for t in range(100)}


def test_only_one_of_many_threads_wins_a_version(data_store: DataStore) -> None:
    def count_up(number: int) -> int:
        conflicts = 0
        for _ in range(50):
            while True:
                record = data_store.get_record("counter")
                try:
                    if record is None:
                        data_store.set("counter", 1, if_version=0)
                    else:
                        data_store.set("counter", record.value + 1, if_version=record.version)
                    break
                except ConflictError:
                    conflicts += 1
        return conflicts

    together(8, count_up)
    assert data_store.get("counter") == 400


def test_batches_are_seen_whole_or_not_at_all(data_store: DataStore) -> None:
    keys = [f"k{number}" for number in range(50)]
    data_store.set_many(dict.fromkeys(keys, -1))
    finished = threading.Event()

    def work(number: int) -> None:
        if number < 2:
            for turn in range(60):
                data_store.set_many(dict.fromkeys(keys, (number, turn)))
            finished.set()
        else:
            while not finished.is_set():
                assert len({str(value) for value in data_store.get_all().values()}) == 1
                assert len({str(value) for value in data_store.get_many(keys).values()}) == 1

    together(6, work)


def test_other_threads_run_while_the_store_works(file_url: str, blocked: Blocked) -> None:
    with connect(file_url) as data_store:
        data_store.set("key", 0)
        with blocked():
            writer = threading.Thread(target=data_store.set, args=("key", 1))
            writer.start()
            # Were the interpreter lock held by the writer that waits, this thread could not end its waiting.
            for _ in range(100):
                assert data_store.get("key") == 0
            assert writer.is_alive()
        writer.join()
        assert data_store.get("key") == 1


def test_one_iterator_may_be_shared(data_store: DataStore) -> None:
    data_store.set_many({f"k{number:04}": number for number in range(2_000)})
    pairs = data_store.items(page_size=7)
    parts = together(4, lambda number: list(pairs))
    assert sorted(pair for part in parts for pair in part) == [(f"k{n:04}", n) for n in range(2_000)]


def test_closing_while_others_work_raises_and_never_crashes(file_url: str) -> None:
    for _ in range(10):
        data_store = connect(file_url)

        def work(number: int, data_store: DataStore = data_store) -> int:
            if number == 0:
                data_store.close()
                return 0
            done = 0
            try:
                while done < 10_000:
                    data_store.set(f"{number}", done)
                    data_store.get_all()
                    done += 1
            except InvalidArgumentError as error:
                assert "closed" in str(error)
            return done

        together(4, work)


class Yielding(dict[str, int]):
    """Lets other threads run in the middle of a conversion."""

    def items(self) -> Any:
        time.sleep(0)
        return super().items()


def test_conversion_is_safe_while_other_threads_change_the_value(data_store: DataStore) -> None:
    shared: dict[str, Any] = {"list": [Yielding(a=1) for _ in range(20)], "dict": Yielding(b=2)}
    finished = threading.Event()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def work(number: int) -> None:
        for _ in range(200) if number == 0 else iter(finished.is_set, True):
            if number == 0:
                try:
                    data_store.set("key", shared)
                    assert set(data_store.get("key")) >= {"list", "dict"}
                except InvalidArgumentError as error:
                    assert "changed size while it was being stored" in str(error)
            else:
                shared["list"].append(Yielding(c=number))
                del shared["list"][10:]
                shared[f"{number}"] = Yielding(d=4)
                del shared[f"{number}"]
        finished.set()

    try:
        together(3, work)
    finally:
        sys.setswitchinterval(interval)
