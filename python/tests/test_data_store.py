"""Every verb of the `data_store` object."""

from __future__ import annotations

import gc
import pickle
from collections import UserDict
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import agent_data_store
from agent_data_store import (
    ConflictError,
    DataStore,
    DataStoreError,
    InvalidArgumentError,
    NamespaceStats,
    NotSerializableError,
    Record,
    TooLargeError,
    connect,
)

ODD = [
    "a:b",
    "a",
    "b:c",
    "/",
    "a/b",
    "..",
    "%",
    "%41",
    "A",
    "a b",
    " ",
    "  ",
    "a\tb\n",
    "'",
    '"',
    "`; DROP TABLE records; --",
    "\\",
    "*",
    "_",
    "[a-z]",
    "é",
    "e\u0301",
    "😀",
    "👩‍👩‍👧",
    "\U0010ffff",
    "\uffff",
    "مرحبا",
    "\u202eabc",
    "日本",
    "null",
    "ẞ",
    "ß",
    "\x01",
    "\x7f",
    "k" * 250,
]


def test_get_tells_a_missing_key_from_a_stored_none(data_store: DataStore) -> None:
    marker = object()
    assert data_store.get("key") is None
    assert data_store.get("key", marker) is marker
    assert data_store.get("key", default=marker) is marker
    data_store.set("key", None)
    assert data_store.get("key", marker) is None


def test_set_overwrites_and_returns_none(data_store: DataStore) -> None:
    assert data_store.set("key", {"a": 1}) is None  # type: ignore[func-returns-value]
    data_store.set("key", [2])
    assert data_store.get("key") == [2]
    assert data_store.count() == 1


def test_what_was_stored_is_a_copy(data_store: DataStore) -> None:
    value = {"a": [1]}
    data_store.set("key", value)
    value["a"].append(2)
    data_store.get("key")["a"].append(3)
    assert data_store.get("key") == {"a": [1]}


def test_metadata_is_merged_and_none_or_an_empty_dict_leave_it(data_store: DataStore) -> None:
    def metadata() -> dict[str, Any]:
        record = data_store.get_record("key")
        assert record is not None
        return record.metadata

    data_store.set("key", 1)
    assert metadata() == {}
    data_store.set("key", 1, {"a": 1, "b": {"c": 1}})
    data_store.set("key", 1, metadata={"b": 2, "d": None})
    assert metadata() == {"a": 1, "b": 2, "d": None}
    data_store.set("key", 2)
    data_store.set("key", 2, {})
    data_store.set_many({"key": 3}, {"e": 5})
    assert metadata() == {"a": 1, "b": 2, "d": None, "e": 5}


def test_metadata_that_cannot_be_is_refused(data_store: DataStore) -> None:
    with pytest.raises(TypeError, match="metadata is list, not dict"):
        data_store.set("key", 1, ["a"])  # type: ignore[arg-type]
    with pytest.raises(
        NotSerializableError, match=r"metadata at \$\.at is datetime\.datetime, .* store value\.isoformat"
    ):
        data_store.set("key", 1, {"at": datetime(2026, 1, 1)})
    with pytest.raises(TooLargeError, match="metadata is over the limit of 65536 bytes"):
        data_store.set("key", 1, {"a": "x" * 65_536})
    assert data_store.get_record("key") is None


def test_delete_tells_whether_a_record_was_there(data_store: DataStore) -> None:
    data_store.set("key", 1)
    assert data_store.delete("key") is True
    assert data_store.delete("key") is False
    assert data_store.get("key") is None


def test_list_keys_is_sorted_by_code_point_and_never_cut_short(data_store: DataStore) -> None:
    keys = [f"k{number}" for number in range(2_500)] + ["Z", "a", "é", "\uffff", "😀"]
    data_store.set_many(dict.fromkeys(keys))
    assert data_store.list_keys() == sorted(keys)
    assert data_store.list_keys("k24") == sorted(key for key in keys if key.startswith("k24"))
    assert data_store.list_keys(prefix="none") == []
    assert data_store.list_keys("") == data_store.list_keys(None)


def test_namespaces_exist_while_they_hold_a_record(data_store: DataStore) -> None:
    other = data_store.use_namespace("repo:b")
    assert (data_store.namespace, other.namespace) == ("default", "repo:b")
    assert data_store.list_namespaces() == []
    other.set("key", 1)
    data_store.use_namespace("repo:a").set("key", 2)
    assert data_store.list_namespaces() == ["repo:a", "repo:b"]
    assert data_store.list_namespaces(prefix="repo:b") == ["repo:b"]
    assert data_store.get("key") is None
    assert other.use_namespace("repo:a").get("key") == 2
    other.delete("key")
    assert data_store.list_namespaces() == ["repo:a"]


def test_many_at_once(data_store: DataStore) -> None:
    assert data_store.set_many({"a": 1, "b": [2], "c": None}) == 3
    assert data_store.set_many([("c", 3), ("d", 4)]) == 2
    assert data_store.set_many(UserDict({"e": 5})) == 1
    assert data_store.set_many({}) == 0
    assert data_store.get_all() == {"a": 1, "b": [2], "c": 3, "d": 4, "e": 5}
    assert list(data_store.get_many(["d", "missing", "a", "d"]).items()) == [("d", 4), ("a", 1)]
    assert data_store.get_many(key for key in ("b", "c")) == {"b": [2], "c": 3}
    assert data_store.get_many([]) == {}
    assert data_store.delete_many(["a", "missing", "b", "a"]) == 2
    assert data_store.delete_many({"c": 0}) == 1
    assert data_store.list_keys() == ["d", "e"]


def test_set_many_stores_all_or_nothing(data_store: DataStore) -> None:
    bad: dict[str, Any] = {"a": 1, "b": {"c": b""}}
    with pytest.raises(NotSerializableError) as caught:
        data_store.set_many(bad)
    assert str(caught.value) == (
        'value of key "b" at $.c is bytes, which JSON cannot hold: store base64 text or a reference'
    )
    assert (caught.value.operation, caught.value.namespace, caught.value.key) == ("set_many", "default", "b")
    with pytest.raises(InvalidArgumentError, match="key is empty"):
        data_store.set_many({"a": 1, "": 2})
    with pytest.raises(TypeError, match="key is int, not str"):
        data_store.set_many({"a": 1, 2: 2})  # type: ignore[arg-type]
    assert data_store.count() == 0


def test_batches_have_a_limit(data_store: DataStore) -> None:
    keys = [str(number) for number in range(100_001)]
    for call in (
        lambda: data_store.set_many(dict.fromkeys(keys)),
        lambda: data_store.get_many(keys),
        lambda: data_store.delete_many(keys),
    ):
        with pytest.raises(TooLargeError, match="100001 entries is over the limit of 100000: split it"):
            call()
    assert data_store.count() == 0
    assert data_store.set_many(dict.fromkeys(keys[1:])) == 100_000
    assert len(data_store.get_many(keys[1:])) == 100_000
    assert data_store.clear() == 100_000


def test_keys_given_as_one_string_are_a_mistake(data_store: DataStore) -> None:
    for call in (data_store.get_many, data_store.delete_many):
        with pytest.raises(TypeError, match="keys is str: give a list of keys"):
            call("abc")
        with pytest.raises(TypeError, match="key is int, not str"):
            call(["a", 1])  # type: ignore[list-item]
        with pytest.raises(TypeError, match="not iterable"):
            call(5)  # type: ignore[arg-type]


def test_clear_empties_one_namespace_and_counts(data_store: DataStore) -> None:
    other = data_store.use_namespace("other")
    data_store.set_many(dict.fromkeys("abc"))
    other.set("key", 1)
    assert data_store.clear() == 3
    assert data_store.clear() == 0
    assert (data_store.get_all(), data_store.get("a"), other.get("key")) == ({}, None, 1)
    data_store.set("a", 1)
    assert data_store.get_all() == {"a": 1}


def test_a_record_tells_everything(data_store: DataStore) -> None:
    before = datetime.now(timezone.utc)
    data_store.set("key", {"a": 1}, {"source": "test"})
    record = data_store.get_record("key")
    after = datetime.now(timezone.utc)
    assert record is not None
    assert (record.user_id, record.namespace, record.key) == ("alice", "default", "key")
    assert (record.value, record.metadata) == ({"a": 1}, {"source": "test"})
    assert (record.created_by_agent, record.updated_by_agent, record.last_accessed_by_agent) == ("tester",) * 3
    assert record.created_at == record.updated_at == record.last_accessed_at
    assert before <= record.created_at <= after
    assert record.created_at.tzinfo is timezone.utc
    assert (record.access_count, record.expires_at) == (0, None)
    data_store.set("key", 2)
    again = data_store.get_record("key")
    assert again is not None
    assert again.version > record.version
    assert again.created_at == record.created_at
    assert again.updated_at >= record.updated_at
    assert data_store.get_record("missing") is None


def test_records_and_statistics_are_values(data_store: DataStore) -> None:
    data_store.set("key", 1)
    record, stats = data_store.get_record("key"), data_store.namespaces()[0]
    for thing in (record, stats):
        assert pickle.loads(pickle.dumps(thing)) == thing
        with pytest.raises(AttributeError):
            thing.namespace = "x"  # type: ignore[union-attr, misc]
    assert repr(record).startswith("Record(user_id='alice', namespace='default', key='key', value=1, metadata={}, ")
    assert repr(stats).startswith("NamespaceStats(namespace='default', records=1, bytes=4, agents=['tester'], ")
    assert record == data_store.get_record("key")


def test_statistics_count_without_reading(data_store: DataStore) -> None:
    data_store.use_namespace("b").set_many({"key": "é", "other": None})
    data_store.use_namespace("a").set("key", [1, 2])
    stats = data_store.namespaces()
    assert [type(each) for each in stats] == [NamespaceStats] * 2
    assert [(each.namespace, each.records, each.agents) for each in stats] == [
        ("a", 1, ["tester"]),
        ("b", 2, ["tester"]),
    ]
    assert [data_store.use_namespace(name).count() for name in "ab"] == [1, 2]
    assert stats[1].bytes >= len("key") + len('"é"'.encode()) + len("other") + len("null")
    assert data_store.use_namespace("b").count("oth") == data_store.use_namespace("b").count(prefix="other") == 1


def test_reads_are_counted(file_url: str) -> None:
    with connect(file_url, agent="writer") as writer:
        writer.set_many({"a": 1, "b": 2})
    with connect(file_url, agent="reader") as reader:
        reader.get("a")
        reader.get_many(["a", "b"])
        reader.get_all()
        assert dict(reader.items()) == {"a": 1, "b": 2}
        reader.get("missing")
    with connect(file_url, agent="later") as later:
        a, b = later.get_record("a"), later.get_record("b")
    assert a is not None and b is not None
    assert (a.access_count, b.access_count) == (4, 3)
    assert (a.last_accessed_by_agent, a.updated_by_agent, a.created_by_agent) == ("reader", "writer", "writer")


@pytest.mark.parametrize("page_size", [1, 2, 3, 1_000])
def test_items_pages_through_all_records_in_order(data_store: DataStore, page_size: int) -> None:
    data_store.set_many({f"k{number}": {"n": number} for number in range(7)})
    data_store.set("z", 1)
    pairs = data_store.items("k", page_size=page_size)
    assert iter(pairs) is pairs
    assert list(pairs) == [(f"k{number}", {"n": number}) for number in range(7)]
    assert list(pairs) == []
    assert list(data_store.items("none", page_size=page_size)) == []
    assert [key for key, _ in data_store.items()] == data_store.list_keys()


def test_items_goes_on_while_records_come_and_go(data_store: DataStore) -> None:
    data_store.set_many(dict.fromkeys("bdfh", 0))
    seen = []
    for key, _ in data_store.items(page_size=1):
        seen.append(key)
        if key == "b":
            data_store.delete("d")
            data_store.set("e", 0)
            data_store.set("a", 0)
    assert seen == ["b", "e", "f", "h"]


def test_page_size_is_checked(data_store: DataStore) -> None:
    for size in (0, -1):
        with pytest.raises(InvalidArgumentError, match="page_size is not positive"):
            data_store.items(page_size=size)
    with pytest.raises(TypeError, match="page_size is str, not int"):
        data_store.items(page_size="9")  # type: ignore[arg-type]


def test_a_record_with_a_ttl_expires(data_store: DataStore, wait_until: Any) -> None:
    data_store.set("kept", 1, ttl=timedelta(days=1, microseconds=1))
    data_store.set("gone", 1, ttl=0.05)
    data_store.set_many({"many": 1}, ttl=timedelta(milliseconds=50))
    record = data_store.get_record("kept")
    assert record is not None and record.expires_at is not None
    assert record.expires_at - record.updated_at == timedelta(days=1, microseconds=1)
    wait_until(lambda: data_store.list_keys() == ["kept"])
    assert (data_store.get("gone", "default"), data_store.get_record("many")) == ("default", None)
    assert (data_store.count(), data_store.delete("gone"), data_store.get_all()) == (1, False, {"kept": 1})


def test_an_overwrite_without_ttl_removes_the_expiry(data_store: DataStore) -> None:
    data_store.set("key", 1, ttl=60)
    data_store.set("key", 2)
    record = data_store.get_record("key")
    assert record is not None and record.expires_at is None


def test_a_ttl_beyond_the_calendar_is_shown_as_its_end(data_store: DataStore) -> None:
    data_store.set("key", 1, ttl=1e12)
    record = data_store.get_record("key")
    assert record is not None
    assert record.expires_at == datetime.max.replace(tzinfo=timezone.utc)


@pytest.mark.parametrize("ttl", [0, -1, 0.0, -0.5, timedelta(0), timedelta(microseconds=-1), 1e-9])
def test_a_ttl_must_be_positive(data_store: DataStore, ttl: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="ttl is not positive"):
        data_store.set("key", 1, ttl=ttl)
    with pytest.raises(InvalidArgumentError, match="ttl is not positive"):
        data_store.set_many({"key": 1}, ttl=ttl)
    assert data_store.get("key") is None


@pytest.mark.parametrize("ttl", [float("nan"), float("inf"), 1e300, 10**400])
def test_a_ttl_must_be_finite(data_store: DataStore, ttl: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="ttl is not a finite number of seconds"):
        data_store.set("key", 1, ttl=ttl)


@pytest.mark.parametrize("ttl", ["60", True, [1], datetime.now()])
def test_a_ttl_is_a_number_or_a_timedelta(data_store: DataStore, ttl: Any) -> None:
    with pytest.raises(TypeError, match=r"ttl is \w+: give seconds \(int or float\) or a datetime.timedelta"):
        data_store.set("key", 1, ttl=ttl)


def test_if_version_writes_only_over_what_was_read(data_store: DataStore) -> None:
    data_store.set("key", 1, if_version=0)
    with pytest.raises(
        ConflictError, match=r'key "key" in namespace "default" is at version \d+, not absent'
    ) as caught:
        data_store.set("key", 2, if_version=0)
    record = data_store.get_record("key")
    assert record is not None
    assert (caught.value.expected_version, caught.value.actual_version) == (0, record.version)
    assert (caught.value.operation, caught.value.namespace, caught.value.key) == ("set", "default", "key")
    assert caught.value.retryable is False
    data_store.set("key", 3, if_version=record.version)
    with pytest.raises(ConflictError):
        data_store.set("key", 4, if_version=record.version)
    assert data_store.get("key") == 3
    for version in (-1, 2**64):
        with pytest.raises(InvalidArgumentError, match="if_version is not a version"):
            data_store.set("key", 5, if_version=version)
    with pytest.raises(TypeError, match="if_version is bool, not int"):
        data_store.set("key", 5, if_version=True)


def test_odd_characters_never_collide(data_store: DataStore) -> None:
    for namespace in ODD:
        data_store.use_namespace(namespace).set_many({key: [namespace, key] for key in ODD})
    assert data_store.list_namespaces() == sorted(ODD)
    for namespace in ODD:
        view = data_store.use_namespace(namespace)
        assert view.list_keys() == sorted(ODD)
        assert view.get_all() == {key: [namespace, key] for key in ODD}
        for key in ODD:
            assert view.get(key) == [namespace, key]
            assert view.list_keys(key) == sorted(other for other in ODD if other.startswith(key))


def test_users_are_apart(file_url: str) -> None:
    with connect(file_url) as shared:
        shared.set("key", "of the default user")
    for user in ODD:
        with connect(file_url, user=user, namespace="default") as mine:
            assert (mine.get("key"), mine.list_namespaces(), mine.get_all()) == (None, [], {})
            mine.set("key", user)
            mine.use_namespace("a:b").set("c", user)
            mine.use_namespace("a").set("b:c", user)
    for user in ODD:
        with connect(file_url, user=user) as mine:
            assert (mine.get("key"), mine.count()) == (user, 1)
            assert mine.list_namespaces() == ["a", "a:b", "default"]
            assert mine.use_namespace("a").clear() == 1
            assert mine.use_namespace("a:b").get_all() == {"c": user}
    with connect(file_url) as shared:
        assert shared.get_all() == {"key": "of the default user"}


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=60), st.text())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_any_name_is_kept(data_store: DataStore, name: str, value: str) -> None:
    view = data_store.use_namespace(name)
    view.set(name, value)
    assert (view.get(name), view.list_keys(name), view.delete(name)) == (value, [name], True)


def test_names_have_limits(data_store: DataStore) -> None:
    for key, reason in (("", "key is empty"), ("k" * 1_025, "1025 bytes"), ("é" * 513, "1026 bytes"), ("a\0", "NUL")):
        for call in (
            lambda key=key: data_store.get(key),
            lambda key=key: data_store.set(key, 1),
            lambda key=key: data_store.delete(key),
            lambda key=key: data_store.get_record(key),
            lambda key=key: data_store.get_many([key]),
            lambda key=key: data_store.delete_many([key]),
        ):
            with pytest.raises(InvalidArgumentError, match=reason):
                call()
    data_store.set("k" * 1_024, 1)
    data_store.use_namespace("n" * 512).set("key", 1)
    for namespace in ("", "n" * 513, "\0"):
        with pytest.raises(InvalidArgumentError, match="namespace"):
            data_store.use_namespace(namespace)
    with pytest.raises(InvalidArgumentError, match="key holds a lone surrogate"):
        data_store.get("\ud800")
    with pytest.raises(InvalidArgumentError, match="prefix holds a lone surrogate"):
        data_store.list_keys("\ud800")


@pytest.mark.parametrize("bad", [None, 1, b"key", ["key"]])
def test_names_are_strings(data_store: DataStore, bad: Any) -> None:
    for call in (data_store.get, data_store.delete, data_store.get_record):
        with pytest.raises(TypeError, match=r"key is \w+, not str"):
            call(bad)
    with pytest.raises(TypeError, match="not str"):
        data_store.set(bad, 1)
    with pytest.raises(TypeError, match="not str"):
        data_store.use_namespace(bad)
    if bad is not None:
        with pytest.raises(TypeError, match=r"prefix is \w+, not str"):
            data_store.list_keys(bad)


def test_the_largest_value(data_store: DataStore) -> None:
    largest = "x" * ((16 << 20) - 2)
    data_store.set("key", largest)
    assert data_store.get("key") == largest
    with pytest.raises(TooLargeError, match="value is over the limit of 16777216 bytes of JSON") as caught:
        data_store.set("key", largest + "x")
    assert isinstance(caught.value, ValueError)
    assert data_store.get("key") == largest
    assert dict(data_store.items()) == {"key": largest}


def test_nothing_is_stored_of_a_refused_value(data_store: DataStore) -> None:
    data_store.set("key", "old", {"m": 1})
    for value in (b"", {1, 2}, float("nan"), "\ud800", [[object()]]):
        with pytest.raises(DataStoreError) as caught:
            data_store.set("key", value, {"m": 2})
        assert isinstance(caught.value, TypeError | ValueError)
    record = data_store.get_record("key")
    assert record is not None
    assert (record.value, record.metadata) == ("old", {"m": 1})


def test_errors_never_carry_a_value(data_store: DataStore) -> None:
    secret = "sk-123456"
    bad: list[Any] = [{"a": secret, "b": b"sk-123456"}, [secret, float("inf")], secret + "\ud800", [secret * 2_000_000]]
    for value in bad:
        with pytest.raises(DataStoreError) as caught:
            data_store.set("key", value)
        assert secret not in str(caught.value)


def test_after_close_every_call_says_so(data_store: DataStore) -> None:
    other = data_store.use_namespace("other")
    unfinished = data_store.items()
    data_store.close()
    data_store.close()
    for call in (
        lambda: data_store.get("key"),
        lambda: other.set("key", 1),
        lambda: other.get_all(),
        lambda: other.list_namespaces(),
        lambda: data_store.namespaces(),
        lambda: next(unfinished),
        lambda: data_store.clear(),
    ):
        with pytest.raises(InvalidArgumentError, match="the store is closed: open it again"):
            call()


def test_a_context_manager_closes(file_url: str) -> None:
    with connect(file_url) as opened:
        opened.set("key", 1)
    with pytest.raises(InvalidArgumentError, match="closed"):
        opened.get("key")
    with pytest.raises(ZeroDivisionError), connect(file_url) as opened:
        raise ZeroDivisionError


def test_what_is_written_stays(file_url: str) -> None:
    connect(file_url).set("key", {"kept": True})
    gc.collect()
    with connect(file_url) as again:
        assert again.get("key") == {"kept": True}


def test_two_handles_on_one_file_see_each_other(file_url: str) -> None:
    with connect(file_url, agent="one") as one, connect(file_url, agent="two") as two:
        one.set("key", 1)
        assert two.get("key") == 1
        two.set("key", 2)
        assert one.get("key") == 2


def test_repr_names_who_and_where(data_store: DataStore) -> None:
    view = data_store.use_namespace("it's")
    assert repr(view) == "DataStore(user='alice', agent='tester', namespace=\"it's\")"
    assert (view.user, view.agent, view.namespace) == ("alice", "tester", "it's")
    assert repr(view.aio) == "AsyncDataStore(user='alice', agent='tester', namespace=\"it's\")"


def test_without_arguments_the_environment_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with connect() as opened:
        assert (opened.user, opened.agent, opened.namespace) == ("default", "unknown", "default")
        opened.set("key", 1)
    files = [path.name for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert files == ["store.db"]
    monkeypatch.setenv("AGENT_DATA_STORE_URL", f"sqlite://{tmp_path}/env.db")
    monkeypatch.setenv("AGENT_DATA_STORE_USER", "env user")
    monkeypatch.setenv("AGENT_DATA_STORE_AGENT", "env agent")
    monkeypatch.setenv("AGENT_DATA_STORE_NAMESPACE", "env:namespace")
    with connect() as opened:
        assert (opened.user, opened.agent, opened.namespace) == ("env user", "env agent", "env:namespace")
        opened.set("key", 2)
    assert (tmp_path / "env.db").exists()
    with connect("memory:", user="default", agent="a", namespace="n") as opened:
        assert (opened.user, opened.agent, opened.namespace) == ("default", "a", "n")
        assert opened.get("key") is None
    monkeypatch.setenv("AGENT_DATA_STORE_USER", "")
    with connect() as opened:
        assert opened.user == "default"


def test_a_wrong_call_of_connect_creates_no_file(tmp_path: Path, file_url: str) -> None:
    for arguments in ({"user": ""}, {"agent": "a" * 257}, {"namespace": "\0"}, {"user": "\ud800"}):
        with pytest.raises(InvalidArgumentError):
            connect(file_url, **arguments)
    with pytest.raises(TypeError, match="user is int, not str"):
        connect(file_url, user=1)  # type: ignore[arg-type]
    for url in ("", "store.db", "sqlite:store.db", "sqlite://", "mysql://hunter2@host/db", "memory:x", "\ud800"):
        with pytest.raises(InvalidArgumentError) as caught:
            connect(url)
        assert "hunter2" not in str(caught.value)
    with pytest.raises(InvalidArgumentError, match="token is for a server"):
        connect(file_url, token="t0ken")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_a_store_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("not a database, but more than one hundred bytes long; " * 4)
    before = file.read_bytes()
    with pytest.raises(agent_data_store.CorruptStoreError):
        connect(f"sqlite://{file}")
    assert file.read_bytes() == before


def test_a_folder_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(agent_data_store.UnavailableError) as caught:
        connect(f"sqlite://{tmp_path}/missing/store.db")
    assert isinstance(caught.value, ConnectionError)
    assert (caught.value.operation, caught.value.retryable) == ("open", True)


def test_every_error_is_below_one_class() -> None:
    errors = [
        value for value in vars(agent_data_store).values() if isinstance(value, type) and issubclass(value, Exception)
    ]
    assert len(errors) == 12
    others = [error for error in errors if not issubclass(error, DataStoreError)]
    assert others == [agent_data_store.SecretsWarning]
    assert issubclass(agent_data_store.PermissionDeniedError, PermissionError)
    for error in errors:
        again = pickle.loads(pickle.dumps(error("what happened")))
        assert (type(again), str(again)) == (error, "what happened")
        assert error.__module__ == "agent_data_store"


def test_bulk_reads_leave_the_collector_as_it_was(data_store: DataStore) -> None:
    data_store.set_many({f"k{number}": {"list": [[number]] * 20} for number in range(2_000)})
    collections: list[str] = []

    def watch(phase: str, info: dict[str, int]) -> None:
        collections.append(phase)

    gc.collect()
    gc.callbacks.append(watch)
    try:
        for read in (data_store.get_all, lambda: data_store.get_many(data_store.list_keys())):
            collections.clear()
            assert len(read()) == 2_000
            assert collections == []
            assert gc.isenabled() and gc.get_freeze_count() == 0
        gc.disable()
        data_store.get_all()
        assert not gc.isenabled()
    finally:
        gc.enable()
        gc.callbacks.remove(watch)
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()
        data_store.get_all()
        assert gc.get_freeze_count() == frozen > 0
    finally:
        gc.unfreeze()


def test_a_record_is_a_class_of_the_package() -> None:
    assert agent_data_store.Record is Record
    assert set(agent_data_store.__all__) <= set(dir(agent_data_store))
