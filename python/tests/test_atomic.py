"""Changing a value in one call."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from helpers import in_processes, together

from agent_data_store import DataStore, InvalidArgumentError, NotSerializableError, TooLargeError


def test_increment(data_store: DataStore) -> None:
    assert data_store.increment("n") == 1
    assert data_store.increment("n", 41) == 42
    assert data_store.increment("n", -43) == -1
    total = data_store.increment("n", 0.5)
    assert total == -0.5 and isinstance(total, float)
    assert data_store.increment("big", 10**30) == 10**30
    assert data_store.increment("big") == 10**30 + 1 == data_store.get("big")


@pytest.mark.parametrize("by", ["1", None, True, [1]])
def test_only_numbers_can_be_added(data_store: DataStore, by: Any) -> None:
    with pytest.raises(TypeError, match=r"by is .*, not int or float"):
        data_store.increment("n", by)
    assert data_store.get("n") is None
    data_store.set("n", "text")
    with pytest.raises(InvalidArgumentError, match="not a number"):
        data_store.increment("n")


@pytest.mark.parametrize("by", [float("nan"), float("inf")])
def test_only_finite_numbers_can_be_added(data_store: DataStore, by: float) -> None:
    with pytest.raises(InvalidArgumentError, match=r"by at \$ is"):
        data_store.increment("n", by)
    data_store.set("n", 1e308)
    with pytest.raises(InvalidArgumentError, match="outside the range"):
        data_store.increment("n", 1e308)
    assert data_store.get("n") == 1e308


def test_append_and_extend(data_store: DataStore) -> None:
    assert data_store.append("l", {"a": 1}) == 1
    assert data_store.append("l", [1, 2]) == 2
    assert data_store.extend("l", (number for number in range(3))) == 5
    assert data_store.extend("l", []) == 5
    assert data_store.get("l") == [{"a": 1}, [1, 2], 0, 1, 2]


def test_a_list_of_different_items(data_store: DataStore) -> None:
    assert data_store.append("l", {"a": 1, "b": 2}, unique=True) == 1
    assert data_store.append("l", {"b": 2, "a": 1}, unique=True) == 1
    assert data_store.extend("l", [1, 1.0, "1", 1], unique=True) == 3
    assert data_store.get("l") == [{"a": 1, "b": 2}, 1, "1"]


def test_a_list_of_the_newest_items(data_store: DataStore) -> None:
    for number in range(10):
        assert data_store.append("l", number, max_length=3) == min(number + 1, 3)
    assert data_store.get("l") == [7, 8, 9]
    assert data_store.extend("l", range(100), max_length=2) == 2
    assert data_store.get("l") == [98, 99]
    for max_length in (0, -1):
        with pytest.raises(InvalidArgumentError, match="max_length is not positive"):
            data_store.append("l", 1, max_length=max_length)
    with pytest.raises(TypeError, match="max_length is float, not int"):
        data_store.append("l", 1, max_length=1.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("items", ["abc", b"abc", {"a": 1}])
def test_what_is_no_list_is_not_taken_apart(data_store: DataStore, items: Any) -> None:
    with pytest.raises(TypeError, match=r"items is .*: give a list"):
        data_store.extend("l", items)
    with pytest.raises(TypeError, match="items is int, which is not iterable"):
        data_store.extend("l", 5)  # type: ignore[arg-type]
    with pytest.raises(ZeroDivisionError):
        data_store.extend("l", (1 // number for number in (1, 0)))
    assert data_store.list_keys() == []


def test_items_that_json_cannot_hold(data_store: DataStore) -> None:
    with pytest.raises(NotSerializableError, match=r"item at \$\.a is set") as raised:
        data_store.append("l", {"a": set()})
    assert raised.value.key == "l" and raised.value.operation == "append"
    with pytest.raises(NotSerializableError, match=r"items at \$\[1\] is set"):
        data_store.extend("l", [1, set()])
    deep: Any = 1
    for _ in range(128):
        deep = [deep]
    data_store.set("deep", deep)
    with pytest.raises(TooLargeError):
        data_store.append("l", deep)
    assert data_store.list_keys() == ["deep"]


def test_merge(data_store: DataStore) -> None:
    assert data_store.merge("m", {"a": {"b": 1, "c": 2}}) == {"a": {"b": 1, "c": 2}}
    assert data_store.merge("m", {"a": {"b": None, "d": [1]}, "e": 5}) == {"a": {"c": 2, "d": [1]}, "e": 5}
    assert data_store.get("m") == {"a": {"c": 2, "d": [1]}, "e": 5}
    with pytest.raises(NotSerializableError, match=r"patch at \$\.x"):
        data_store.merge("m", {"x": object()})


def test_update(data_store: DataStore) -> None:
    default: dict[str, Any] = {"count": 0, "seen": []}

    def count(stats: Any) -> Any:
        stats["count"] += 1
        stats["seen"].append(stats["count"])
        return stats

    assert data_store.update("s", count, default) == {"count": 1, "seen": [1]}
    result = data_store.update("s", count, default)
    assert result == {"count": 2, "seen": [1, 2]} == data_store.get("s")
    assert default == {"count": 0, "seen": []}
    assert data_store.update("none", lambda value: [value]) == [None]
    with pytest.raises(NotSerializableError, match=r"the new value at \$ is"):
        data_store.update("s", lambda value: object())
    with pytest.raises(NotSerializableError, match=r"default at \$ is"):
        data_store.update("s", count, object())
    with pytest.raises(TypeError, match="function is int, not a function"):
        data_store.update("s", 5)  # type: ignore[arg-type]
    assert data_store.get("s") == {"count": 2, "seen": [1, 2]}


def test_what_the_function_of_an_update_raises_passes_through(data_store: DataStore) -> None:
    data_store.set("s", 1)
    error = KeyError("mine")

    def fail(value: Any) -> Any:
        raise error

    with pytest.raises(KeyError) as raised:
        data_store.update("s", fail)
    assert raised.value is error
    assert data_store.get("s") == 1


def test_an_update_is_run_again_on_what_somebody_else_wrote(data_store: DataStore) -> None:
    seen = []

    def function(value: Any) -> Any:
        seen.append(value)
        if len(seen) == 1:
            data_store.set("s", "theirs")
        return [value]

    assert data_store.update("s", function, "default") == ["theirs"]
    assert seen == ["default", "theirs"]


def test_expiry(data_store: DataStore) -> None:
    def lifetime(key: str) -> timedelta | None:
        record = data_store.get_record(key)
        assert record is not None
        return None if record.expires_at is None else record.expires_at - record.updated_at

    data_store.increment("n", ttl=60)
    data_store.append("l", 1, ttl=timedelta(hours=1))
    data_store.merge("m", {}, ttl=60)
    data_store.update("u", lambda value: 1, ttl=60)
    assert [lifetime(key) for key in "nlmu"] == [timedelta(seconds=seconds) for seconds in (60, 3600, 60, 60)]
    before = data_store.get_record("n")
    data_store.increment("n")
    after = data_store.get_record("n")
    assert before is not None and after is not None and after.expires_at == before.expires_at is not None
    data_store.update("u", lambda value: 1)
    assert lifetime("u") is None
    assert data_store.expire("n", None) and lifetime("n") is None
    assert data_store.expire("n", 5)
    record = data_store.get_record("n")
    assert record is not None and record.expires_at is not None
    assert not data_store.expire("missing", 5)
    for ttl in (0, -1, timedelta(0)):
        with pytest.raises(InvalidArgumentError, match="ttl is not positive"):
            data_store.expire("n", ttl)


def test_threads_lose_nothing(data_store: DataStore) -> None:
    def work(number: int) -> None:
        for turn in range(50):
            data_store.increment("n")
            data_store.append("l", [number, turn])
            data_store.update("u", lambda value: value + 1, 0)
            data_store.merge("m", {f"{number}": turn})

    together(8, work)
    assert data_store.get("n") == data_store.get("u") == 400
    assert sorted(data_store.get("l")) == [[number, turn] for number in range(8) for turn in range(50)]
    assert data_store.get("m") == {f"{number}": 49 for number in range(8)}


def test_processes_lose_nothing(file_store: DataStore, file_url: str) -> None:
    code = """
from agent_data_store import connect
data_store = connect(sys.argv[1] + "?durability=relaxed", user="alice")
for turn in range(200):
    data_store.increment("n")
    data_store.append("l", turn)
    data_store.update("u", lambda value: value + 1, 0)
"""
    in_processes(3, code, file_url)
    assert file_store.get("n") == file_store.get("u") == 600
    assert sorted(file_store.get("l")) == sorted([*range(200)] * 3)


def test_as_coroutines(data_store: DataStore) -> None:
    async def main() -> None:
        aio = data_store.aio
        item = {"a": 1}
        appending = asyncio.ensure_future(aio.append("l", item))
        await asyncio.sleep(0)
        item["a"] = 2
        assert await appending == 1
        assert await aio.get("l") == [{"a": 1}]
        assert await aio.extend("l", [1, 1, 2], unique=True, max_length=2) == 2
        assert await aio.merge("m", {"a": 1}, ttl=60) == {"a": 1}
        assert await aio.increment("n", 2, ttl=60) == 2
        assert await aio.expire("n", None)

        async def slowly(value: Any) -> Any:
            value = value + 1
            await asyncio.sleep(0)
            return value

        results = await asyncio.gather(
            *(aio.update("u", slowly, 0) for _ in range(10)),
            *(aio.update("u", lambda value: value + 1, 0) for _ in range(10)),
        )
        assert sorted(results) == list(range(1, 21))
        with pytest.raises(ZeroDivisionError):
            await aio.update("u", lambda value: value / 0)
        with pytest.raises(TypeError, match="function is str"):
            await aio.update("u", "f")  # type: ignore[arg-type]
        assert json.dumps(await aio.get("u")) == "20"

    asyncio.run(main(), debug=True)
