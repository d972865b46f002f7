"""Agents that still do by hand what is one call now, and agents that use the call, work on the same records."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from conftest import WaitUntil
from helpers import together

from agent_data_store import DataStore, LeaseHeldError


def count_by_hand(data_store: DataStore, key: str) -> int:
    number: int = data_store.get(key, default=0)
    number += 1
    data_store.set(key, number)
    return number


def collect_by_hand(data_store: DataStore, key: str, value: Any) -> int:
    items = data_store.get(key, default=[])
    items.append({"value": value, "added_at": datetime.now().isoformat()})
    data_store.set(key, items)
    return len(items)


def post_by_hand(index: DataStore, word: str, document: str) -> None:
    documents = index.get(word, default=[])
    if document not in documents:
        documents.append(document)
        index.set(word, documents)


def cached_by_hand(cache: DataStore, key: str, fetch: Callable[[], Any]) -> Any:
    entry = cache.get(key)
    if entry and datetime.now() - datetime.fromisoformat(entry["_cached_at"]) < timedelta(hours=1):
        return entry["value"]
    value = fetch()
    cache.set(key, {"value": value, "_cached_at": datetime.now().isoformat()})
    return value


def locked_by_hand(data_store: DataStore, resource: str, work: Callable[[], Any], agent: str = "by hand") -> Any:
    key = f"lock:{resource}"
    holder = data_store.get(key)
    if holder and datetime.now() - datetime.fromisoformat(holder["acquired_at"]) < timedelta(minutes=5):
        return {"error": "locked", "by": holder["agent"]}
    data_store.set(key, {"agent": agent, "acquired_at": datetime.now().isoformat()})
    try:
        return work()
    finally:
        data_store.delete(key)


def test_a_counter(data_store: DataStore) -> None:
    numbers = []
    for _ in range(3):
        numbers += [count_by_hand(data_store, "runs"), data_store.increment("runs")]
    assert numbers == [1, 2, 3, 4, 5, 6] and data_store.get("runs") == 6


def test_a_list(data_store: DataStore) -> None:
    item = {"value": "b", "added_at": datetime.now().isoformat()}
    assert collect_by_hand(data_store, "found", "a") == 1
    assert data_store.append("found", item, max_length=100) == 2
    assert collect_by_hand(data_store, "found", "c") == 3
    assert data_store.extend("found", [item, {**item, "value": "d"}], unique=True) == 4
    assert [each["value"] for each in data_store.get("found")] == ["a", "b", "c", "d"]


def test_postings_of_an_index(data_store: DataStore) -> None:
    index = data_store.use_namespace("keyword-index")
    post_by_hand(index, "rust", "d1")
    for document in ("d1", "d2"):
        index.append("rust", document, unique=True)
    post_by_hand(index, "rust", "d2")
    post_by_hand(index, "rust", "d3")
    assert index.get("rust") == ["d1", "d2", "d3"]


def test_a_lock_of_ours_is_seen_by_hand(data_store: DataStore) -> None:
    def work() -> str:
        return "done"

    with data_store.lock("printer", ttl=60) as lease:
        held = {"error": "locked", "by": "tester"}
        assert locked_by_hand(data_store, "printer", work) == held
        # A hand-written lock is taken for abandoned after five minutes; a renewal begins them anew.
        before = data_store.get("lock:printer")["acquired_at"]
        lease.renew()
        assert data_store.get("lock:printer")["acquired_at"] > before
        assert locked_by_hand(data_store, "printer", work) == held
    assert locked_by_hand(data_store, "printer", work) == "done"


def test_a_lock_by_hand_is_seen_by_ours(data_store: DataStore) -> None:
    def work() -> str:
        with pytest.raises(LeaseHeldError) as raised:
            data_store.lock("printer")
        error = raised.value
        assert error.holder == "by hand" and error.expires_at is not None
        left = error.expires_at - datetime.now().astimezone()
        assert timedelta(minutes=4) < left <= timedelta(minutes=5)
        return "done"

    assert locked_by_hand(data_store, "printer", work) == "done"
    with data_store.lock("printer") as lease:
        assert lease.is_held


def test_ours_waits_for_a_lock_by_hand(data_store: DataStore) -> None:
    order: list[str] = []
    holding, waiting = threading.Event(), threading.Event()

    def work() -> None:
        holding.set()
        waiting.wait(60)
        order.append("by hand")

    def take(number: int) -> None:
        if number == 0:
            locked_by_hand(data_store, "printer", work)
        else:
            holding.wait(60)
            with pytest.raises(LeaseHeldError):
                data_store.lock("printer", wait=0.01)
            waiting.set()
            with data_store.lock("printer", wait=60):
                order.append("ours")

    together(2, take)
    assert order == ["by hand", "ours"]


def test_an_abandoned_lock_by_hand_ends(data_store: DataStore) -> None:
    for minutes, is_held in ((4, True), (6, False)):
        at = (datetime.now() - timedelta(minutes=minutes)).isoformat()
        data_store.set("lock:printer", {"agent": "gone", "acquired_at": at})
        if is_held:
            with pytest.raises(LeaseHeldError, match="gone"):
                data_store.lock("printer")
        else:
            with data_store.lock("printer") as lease:
                assert lease.is_held


def test_a_cache_that_expires(data_store: DataStore, wait_until: WaitUntil) -> None:
    cache = data_store.use_namespace("timed-cache")
    fetched: list[str] = []

    def fetch(by: str) -> str:
        fetched.append(by)
        return f"fetched {by}"

    def cached(ttl: float = 3600) -> Any:
        """The call, with values in the shape that the others read."""

        def compute() -> dict[str, str]:
            return {"value": fetch("by call"), "_cached_at": datetime.now().isoformat()}

        return cache.get_or_compute("page", compute, ttl=ttl)["value"]

    for _ in range(2):
        assert cached() == "fetched by call" == cached_by_hand(cache, "page", lambda: fetch("by hand"))
    cache.expire("page", 0.001)
    wait_until(lambda: cache.get("page") is None)
    for _ in range(2):
        assert cached_by_hand(cache, "page", lambda: fetch("by hand")) == "fetched by hand" == cached()
    assert fetched == ["by call", "by hand"]

    # What was stored by hand has no expiry of its own. Until all use the call, one gives it to it.
    record = cache.get_record("page")
    assert record is not None and record.expires_at is None
    assert cache.expire("page", 3600) and cached() == "fetched by hand"
    record = cache.get_record("page")
    assert record is not None and record.expires_at is not None


def test_a_cache(data_store: DataStore) -> None:
    def by_hand(key: str, compute: Callable[[], Any]) -> tuple[Any, str]:
        found = data_store.get(key)
        if found:
            return found, "cache"
        value = compute()
        data_store.set(key, value)
        return value, "computed"

    assert data_store.get_or_compute("a", lambda: 1) == 1
    assert by_hand("a", lambda: 2) == (1, "cache")
    assert by_hand("b", lambda: 3) == (3, "computed")
    assert data_store.get_or_compute("b", lambda: 4) == 3
    # The one by hand computes again what counts as false; it is in the cache all the same.
    assert data_store.get_or_compute("c", list) == []
    assert by_hand("c", list) == ([], "computed")
    assert data_store.get_or_compute("c", lambda: [1]) == []


def test_by_hand_still_loses_what_others_do_in_between(data_store: DataStore) -> None:
    read, incremented = threading.Event(), threading.Event()

    def work(number: int) -> None:
        if number == 0:
            current = data_store.get("n", default=0)
            read.set()
            incremented.wait(60)
            data_store.set("n", current + 1)
        else:
            read.wait(60)
            for _ in range(10):
                data_store.increment("n")
            incremented.set()

    together(2, work)
    assert data_store.get("n") == 1
