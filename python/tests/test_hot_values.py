"""A value that is read again and again: always what is stored, and always the reader's own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from agent_data_store import DataStore, connect

NESTED: dict[str, Any] = {
    "name": "résumé",
    "none": None,
    "yes": True,
    "big": 2**200,
    "ratio": 0.1,
    "empty": [{}, [], ""],
    "list": [1, [2, {"three": [3]}], "four"],
    "dict": {"a": {"b": {"c": [1, 2, 3]}}, "d": 4},
    "last": "\U0001f600\n",
}
# More often than it takes to be remembered.
OFTEN = 6


def read_by_get(store: DataStore) -> Any:
    return store.get("key")


def read_by_get_many(store: DataStore) -> Any:
    return store.get_many(["key"])["key"]


def read_by_get_all(store: DataStore) -> Any:
    return store.get_all()["key"]


def read_by_get_record(store: DataStore) -> Any:
    record = store.get_record("key")
    assert record is not None
    return record.value


every_way = pytest.mark.parametrize("read", [read_by_get, read_by_get_many, read_by_get_all, read_by_get_record])


@every_way
def test_what_one_reader_changes_no_other_reader_sees(data_store: DataStore, read: Callable[[DataStore], Any]) -> None:
    data_store.set("key", NESTED)
    for _ in range(OFTEN):
        value = read(data_store)
        assert value == NESTED
        assert list(value) == list(NESTED)
        value["list"][1][1]["three"].append("mine")
        value["dict"]["a"]["b"].clear()
        value["empty"][0]["new"] = 1
        value["none"] = []
        del value["name"]
    data_store.set("key", [[1], [2, [3]]])
    for _ in range(OFTEN):
        value = read(data_store)
        assert value == [[1], [2, [3]]]
        value[1][1].append(4)
        value.append(5)


@pytest.mark.parametrize("reads", range(OFTEN))
def test_a_value_that_was_written_over_is_seen_however_often_the_old_one_was_read(
    data_store: DataStore, reads: int
) -> None:
    for round_ in range(3):
        data_store.set("key", {"round": [round_]})
        for _ in range(reads):
            assert data_store.get("key") == {"round": [round_]}
    assert data_store.get("key") == {"round": [2]}


def test_a_value_that_another_store_has_written_over_is_seen(file_url: str) -> None:
    with connect(file_url) as one, connect(file_url) as other:
        for round_ in range(3):
            other.set("key", {"round": [round_]})
            assert all(one.get("key") == {"round": [round_]} for _ in range(OFTEN))


def test_values_nested_as_deep_as_they_may_be_and_long_ones_are_read_right(data_store: DataStore) -> None:
    deep: Any = {}
    for _ in range(63):
        deep = {"inner": [deep]}
    data_store.set("deep", deep)
    data_store.set("long", [["x" * 100] * 10] * 100)
    for _ in range(OFTEN):
        assert data_store.get("deep") == deep
        assert data_store.get("long") == [["x" * 100] * 10] * 100


def test_more_values_than_are_remembered_are_read_right(file_store: DataStore) -> None:
    values = {f"key{number:05}": {"number": [number], "text": "x" * 4_000} for number in range(3_000)}
    file_store.set_many(values)
    for _ in range(3):
        for key, value in values.items():
            assert file_store.get(key) == value
            assert file_store.get(key) == value


def test_threads_that_read_and_change_one_value_do_not_meet(file_store: DataStore) -> None:
    file_store.set("key", NESTED)
    wrong = []

    def read() -> None:
        for _ in range(300):
            value = file_store.get("key")
            if value != NESTED:
                wrong.append(value)
            value["list"].clear()
            value["dict"]["a"] = None

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
