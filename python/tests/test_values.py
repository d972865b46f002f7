"""What goes in comes out equal, and what JSON cannot hold is refused with its place."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import datetime
import decimal
import enum
import json
import math
import pathlib
import re
import struct
import types
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent_data_store import (
    CorruptStoreError,
    DataStoreError,
    InvalidArgumentError,
    NotSerializableError,
    TooLargeError,
    connect,
)
from agent_data_store._native import from_json, to_json

data_store = connect("memory:")


def put(value: Any) -> None:
    data_store.set("key", value)


def through(value: Any) -> Any:
    put(value)
    return data_store.get("key")


def exact(value: Any) -> Any:
    """A form of `value` in which equality means the same types, bits and order."""
    if isinstance(value, float):
        return "float", struct.pack("<d", value)
    if isinstance(value, dict):
        return "dict", [(key, exact(item)) for key, item in value.items()]
    if isinstance(value, list):
        return "list", [exact(item) for item in value]
    return type(value), value


long_ints = st.builds(lambda number, shift: (number << shift) + number, st.integers(), st.integers(0, 60_000))
ints = st.integers() | st.integers(-(2**70), 2**70) | long_ints
floats = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | ints | floats | st.text()
keys = st.text() | st.text(max_size=3) | st.integers() | floats | st.booleans() | st.none()


def nested(leaves: st.SearchStrategy[Any], keys: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves, lambda inner: st.lists(inner) | st.dictionaries(keys, inner) | st.tuples(inner, inner), max_leaves=40
    )


@given(nested(scalars, st.text()))
@example([-0.0, 5e-324, 1.7976931348623157e308, 0.1, 1e16, 1e-5, 123456789012345680.0])
@example([2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, 10**18, 10**19, -(10**18), 0])
@example({"": {"": ""}, "a": "", "\x00": "\x00\x1f\x7f\u2028", "😀": "😀\U0010ffff", "é": "ü"})
@example(["x" * n + c + "y" * m for n in (0, 1, 7, 8, 15, 16, 17) for m in (0, 3, 16) for c in '"\\\n\x01é'])
def test_what_goes_in_comes_out_equal(value: Any) -> None:
    def listed(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [listed(item) for item in value]
        if isinstance(value, dict):
            return {key: listed(item) for key, item in value.items()}
        return value

    assert exact(through(value)) == exact(listed(value))


@given(nested(st.none() | st.booleans() | st.integers() | floats | st.text(), keys))
@example({True: "bool", 2.0: "float"})
@example({1: "int", "1": "text", None: "none", 1e16: 1, -0.0: 2, 1e-7: 3, 2**80: 4})
def test_keys_become_text_as_in_the_standard_library(value: Any) -> None:
    assert exact(through(value)) == exact(json.loads(json.dumps(value)))


@given(nested(st.none() | st.booleans() | st.integers() | st.text(), st.text()))
@example(["x" * 20 + chr(code) + "x" * 20 for code in range(256)])
def test_text_is_compact_and_utf8(value: Any) -> None:
    assert to_json(value) == json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@given(nested(st.none() | st.booleans() | st.integers() | floats | st.text(), st.text()), st.data())
def test_any_json_text_is_read_as_the_standard_library_reads_it(value: Any, data: st.DataObject) -> None:
    text = json.dumps(
        value, ensure_ascii=data.draw(st.booleans()), indent=data.draw(st.sampled_from([None, 0, 2, "\t"]))
    )
    assert exact(from_json(text)) == exact(json.loads(text))


@given(nested(st.none() | st.floats() | st.integers() | st.text(max_size=20), st.text(max_size=5)), st.data())
@settings(max_examples=500)
def test_damaged_text_is_an_error_or_a_value_but_never_a_crash(value: Any, data: st.DataObject) -> None:
    text = json.dumps(value, ensure_ascii=data.draw(st.booleans()))
    at = data.draw(st.integers(0, len(text)))
    cut = data.draw(st.integers(0, 3))
    damaged = text[:at] + data.draw(st.text('"\\[]{},:0-.eutfn \x00é', max_size=3)) + text[at + cut :]
    try:
        from_json(damaged)
    except CorruptStoreError as error:
        assert re.fullmatch(r"text is not JSON at byte \d+: restore the store from a backup", str(error))


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "{", "[", "[1", "[1,", "[1,]", "]", ":", ",", "[] []", "1 2"),
        *('{"a"', '{"a":', '{"a":1', '{"a":1,', '{"a":1,}', "{1:2}", '{"a" 1}'),
        *('"', '"a', '"\\', '"\\x"', '"\\u12"', '"\\u+123"', '"\\ud800"', '"\\ud800\\u0041"', '"\\ud800x', '"\\udc00"'),
        *("-", "1e", "1.e5.", "--1", "tru", "nul", "fals", "NaN", "Infinity", "\x00"),
    ],
)
def test_text_that_is_not_json_is_corrupt(text: str) -> None:
    with pytest.raises(CorruptStoreError):
        from_json(text)


def test_of_equal_keys_in_a_text_the_last_wins() -> None:
    assert from_json('{"a":1,"b":2,"a":3}') == {"a": 3, "b": 2}


@pytest.mark.parametrize("digits", [999, 1_000, 1_001, 2_000, 2_001, 4_299, 4_300, 4_301, 8_000, 8_001, 100_000])
def test_ints_of_any_length_pass_whatever_limit_python_sets_on_their_text(digits: int) -> None:
    for value in (10**digits - 1, 10 ** (digits - 1), -(10**digits) + 7, int("123456789" * 60) ** (digits // 540 + 1)):
        assert through(value) == value
        assert through({"n": [value]}) == {"n": [value]}


@given(st.text(st.characters(), max_size=300))
def test_keys_and_strings_survive_every_character(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        with pytest.raises(InvalidArgumentError, match="lone surrogate"):
            put(text)
    else:
        assert through({text: text}) == {text: text}


class Colour(enum.IntEnum):
    RED = 3


class Plain(enum.Enum):
    A = 1


class Level(str, enum.Enum):
    HIGH = "high"


class Ratio(float):
    def __repr__(self) -> str:
        return "a ratio"


class Count(int):
    def __repr__(self) -> str:
        return "a count"

    def __index__(self) -> int:
        raise AssertionError("the plain value is asked, not the class")


class Point(collections.namedtuple("Point", "x y")):
    __slots__ = ()


class Names(list[str]):
    pass


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (Colour.RED, 3),
        (Level.HIGH, "high"),
        (Ratio(1.5), 1.5),
        (Count(7), 7),
        (Count(2**90), 2**90),
        (Point(1, 2), [1, 2]),
        (Names(["a"]), ["a"]),
        ((1, (2,)), [1, [2]]),
        (collections.defaultdict(list, {"a": [1]}), {"a": [1]}),
        (collections.Counter("aab"), {"a": 2, "b": 1}),
        ({Colour.RED: 1, Level.HIGH: 2, Ratio(2.5): 3, Count(9): 4}, {"3": 1, "high": 2, "2.5": 3, "9": 4}),
    ],
)
def test_subclasses_count_as_their_plain_value(value: Any, stored: Any) -> None:
    assert exact(through(value)) == exact(stored)


def test_an_ordered_dict_keeps_its_own_order() -> None:
    value = collections.OrderedDict(a=1, b=2, c=3)
    value.move_to_end("a")
    assert list(through(value)) == ["b", "c", "a"]


@dataclasses.dataclass
class Task:
    name: str


class Custom:
    pass


async def fetch() -> None:
    pass


def forgotten_await() -> Any:
    coroutine = fetch()
    coroutine.close()
    return coroutine


def numbers() -> Iterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("bad", "name", "remedy"),
    [
        (b"\x00", "bytes", "store base64 text or a reference"),
        (bytearray(b"a"), "bytearray", "store base64 text or a reference"),
        (memoryview(b"a"), "memoryview", "store base64 text or a reference"),
        (datetime.datetime(2026, 1, 2), "datetime.datetime", "store value.isoformat()"),
        (datetime.date(2026, 1, 2), "datetime.date", "store value.isoformat()"),
        (datetime.timedelta(1), "datetime.timedelta", "store value.total_seconds()"),
        ({1, 2}, "set", "store a list, such as sorted(value)"),
        (frozenset([1]), "frozenset", "store a list, such as sorted(value)"),
        (decimal.Decimal("1.5"), "decimal.Decimal", "store str(value), or float(value) where rounding does no harm"),
        (uuid.UUID(int=1), "uuid.UUID", "store str(value)"),
        (pathlib.PurePosixPath("/a"), f"{pathlib.PurePosixPath.__module__}.PurePosixPath", "store str(value)"),
        (Plain.A, "test_values.Plain", "store value.value"),
        (1j, "complex", "store a list [value.real, value.imag]"),
        (Task("a"), "test_values.Task", "store a dict, such as dataclasses.asdict(value)"),
        (Custom(), "test_values.Custom", "store a dict of its fields"),
        (forgotten_await(), "coroutine", "await it first"),
        (numbers(), "generator", "store list(value)"),
        (range(3), "range", "store list(value)"),
        ({}.keys(), "dict_keys", "store list(value)"),
        (types.MappingProxyType({}), "mappingproxy", "store dict(value)"),
        (collections.UserDict(), "collections.UserDict", "store dict(value)"),
        (ValueError("a"), "ValueError", "store str(value)"),
        (len, "builtin_function_or_method", "store what it returns, or its name"),
        (fetch, "function", "store what it returns, or its name"),
        (..., "ellipsis", "store a dict of its fields"),
    ],
)
def test_a_kind_that_json_cannot_hold_is_a_type_error_that_names_place_and_remedy(
    bad: Any, name: str, remedy: str
) -> None:
    value = {"files": [{}, {"read": 1}, (), {"read": bad}]}
    with pytest.raises(NotSerializableError) as caught:
        put(value)
    assert str(caught.value) == f"value at $.files[3].read is {name}, which JSON cannot hold: {remedy}"
    assert isinstance(caught.value, TypeError) and isinstance(caught.value, DataStoreError)


@pytest.mark.parametrize("key", [(1, 2), b"a", frozenset(), datetime.date(2026, 1, 2), Custom()])
def test_a_key_that_json_cannot_hold_is_a_type_error(key: Any) -> None:
    name = (
        type(key).__qualname__ if type(key).__module__ == "builtins" else f"{type(key).__module__}.{type(key).__name__}"
    )
    with pytest.raises(NotSerializableError) as caught:
        put({"a": [{"b": 1, key: 2}]})
    assert str(caught.value) == f"a key of value at $.a[0] is {name}, which JSON cannot hold as a key: use a string"


@pytest.mark.parametrize(("number", "name"), [(math.nan, "NaN"), (math.inf, "infinity"), (-math.inf, "-infinity")])
def test_numbers_that_json_has_not_are_a_value_error(number: float, name: str) -> None:
    for value, place in (({"a": (0, number)}, "value at $.a[1]"), ({"a": {number: 0}}, "a key of value at $.a")):
        with pytest.raises(InvalidArgumentError) as caught:
            put(value)
        assert str(caught.value) == f"{place} is {name}, which JSON cannot hold: store None or a string"
        assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("text", ["\ud800", "a\udfff", "\udc80.txt", "\ud83d", "\ude00\ud83d"])
def test_a_lone_surrogate_is_a_value_error(text: str) -> None:
    for value, place in (({"a": [text]}, "value at $.a[0]"), ({"a": [{text: 0}]}, "a key of value at $.a[0]")):
        with pytest.raises(InvalidArgumentError, match=re.escape(f"{place} holds a lone surrogate")):
            put(value)


def test_a_circle_is_named_where_it_closes() -> None:
    inner: dict[str, Any] = {}
    value = {"a": [0, inner]}
    inner["up"] = value
    with pytest.raises(InvalidArgumentError) as caught:
        put(value)
    assert str(caught.value) == ("value at $.a[1].up is circular, it contains itself: store a copy without the circle")
    shared = [1]
    assert through([shared, shared, {"again": shared}]) == [[1], [1], {"again": [1]}]


def deep(levels: int) -> Any:
    value: Any = 0
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


def test_nesting_has_a_limit() -> None:
    assert through(deep(128)) == deep(128)
    with pytest.raises(TooLargeError, match="nested more than 128 deep: flatten it") as caught:
        put(deep(129))
    assert len(str(caught.value)) < 400


def test_reading_has_no_limit_on_nesting() -> None:
    value = from_json("[" * 100_000 + "]" * 100_000)
    depth = 0
    while value:
        value, depth = value[0], depth + 1
    assert depth == 99_999


LIMIT_BYTES = 16 << 20


def doubled(times: int) -> Any:
    value: Any = 0
    for _ in range(times):
        value = [value, value]
    return value


@pytest.mark.parametrize(
    "make",
    [
        lambda: "x" * (LIMIT_BYTES - 1),
        lambda: "\n" * (LIMIT_BYTES // 2),
        lambda: "é" * (LIMIT_BYTES // 2),
        lambda: ["x" * 1_000] * 17_000,
        lambda: [None] * 4_000_000,
        lambda: dict.fromkeys(range(170), "x" * 100000),
        lambda: 1 << 60_000_000,
        lambda: doubled(100),
    ],
    ids=["text", "escapes", "bytes-not-characters", "list", "nulls", "dict", "int", "endless"],
)
def test_size_has_a_limit_that_stops_the_work_early(make: Any) -> None:
    with pytest.raises(TooLargeError, match="value is over the limit of 16777216 bytes of JSON: split it"):
        put(make())


@pytest.mark.parametrize(
    "value", ["x" * (LIMIT_BYTES - 2), "é" * (LIMIT_BYTES // 2 - 1), "\n" * (LIMIT_BYTES // 2 - 1)]
)
def test_the_largest_values_pass(value: str) -> None:
    assert through(value) == value


def test_places_use_the_syntax_of_paths_and_stay_short() -> None:
    def place(value: Any) -> str:
        with pytest.raises(NotSerializableError) as caught:
            put(value)
        return str(caught.value).removeprefix("value at ").split(" is ")[0]

    assert place(b"") == "$"
    assert place([{"a b": b""}]) == '$[0]["a b"]'
    assert place({"1a": {'"': {"é": {"": b""}}}}) == '$["1a"]["\\""]["é"][""]'
    assert place({1: {None: {True: {1.5: {2**70: b""}}}}}) == '$["1"].null.true["1.5"]["(a large int)"]'
    assert place({"k" * 500: b""}) == f'$["{"k" * 60}…"]'
    value: Any = b""
    for level in range(100):
        value = {f"level_{level}": value}
    shown = place(value)
    assert len(shown) == 241
    assert shown.startswith("$.level_99.level_98.") and shown.endswith(".level_1.level_0") and "…" in shown


def test_a_dict_that_changes_while_it_is_read_is_refused() -> None:
    class Meddler(dict[str, int]):
        def items(self) -> Any:
            outer["more"] = 1
            return super().items()

    outer: dict[str, Any] = {"a": Meddler(), "b": 1}
    with pytest.raises(InvalidArgumentError, match=r"value at \$ changed size while it was being stored"):
        put(outer)

    class Eater(dict[str, int]):
        def items(self) -> Any:
            victims.clear()
            return super().items()

    victims: list[Any] = [Eater(a=1), "x", "y"]
    assert to_json(victims) == '[{"a":1}]'


def test_an_exception_of_the_value_itself_passes_through() -> None:
    class Broken(dict[str, int]):
        def items(self) -> Any:
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        put([Broken()])

    class Odd(dict[str, int]):
        def items(self) -> Any:
            return [("a",)]

    with pytest.raises(ValueError, match="tuple of length"):
        put(Odd())


def test_conversion_inside_a_conversion() -> None:
    class Nested(dict[str, int]):
        def items(self) -> Any:
            assert from_json('{"inner":{"inner":1}}') == {"inner": {"inner": 1}}
            return {"k": to_json({"inner": 2})}.items()

    assert through({"inner": Nested()}) == {"inner": {"k": '{"inner":2}'}}


def test_awaiting_what_was_forgotten_works() -> None:
    async def agent() -> Any:
        return through({"a": await asyncio.sleep(0, "b")})

    assert asyncio.run(agent()) == {"a": "b"}
