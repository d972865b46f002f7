"""What becomes of likely credentials."""

from __future__ import annotations

import _thread
import asyncio
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent_data_store import DataStore, InvalidArgumentError, SecretsWarning, connect

# Put together here, so that no line of this file is one itself.
TOKEN = "ghp_" + "aB3" * 12
KIND = "a GitHub token"


def add_in_transaction(data_store: DataStore) -> None:
    with data_store.transaction() as tx:
        tx.append("k", TOKEN)


def complete_task(data_store: DataStore) -> None:
    data_store.set("job", 1)
    claim = data_store.claim("job", 60)
    assert claim is not None
    claim.complete({"a": TOKEN})


def call_cached(data_store: DataStore) -> None:
    @data_store.cached(key=lambda: "k")
    def compute() -> str:
        return TOKEN

    compute()


WRITES: dict[str, Callable[[DataStore], object]] = {
    "set": lambda data_store: data_store.set("k", {"a": [1, TOKEN]}),
    "metadata": lambda data_store: data_store.set("k", 1, {"a": TOKEN}),
    "set_many": lambda data_store: data_store.set_many({"k": f"the token {TOKEN}."}),
    "append": lambda data_store: data_store.append("k", TOKEN),
    "extend": lambda data_store: data_store.extend("k", [TOKEN]),
    "merge": lambda data_store: data_store.merge("k", {"a": TOKEN}),
    "update": lambda data_store: data_store.update("k", lambda value: TOKEN),
    "get_or_compute": lambda data_store: data_store.get_or_compute("k", lambda: TOKEN),
    "cached": call_cached,
    "transaction": add_in_transaction,
    "transact": lambda data_store: data_store.transact(lambda tx: tx.set("k", TOKEN)),
    "complete": complete_task,
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_it_is_stored_and_warned_of_at_the_line(data_store: DataStore, write: Callable[[DataStore], object]) -> None:
    with pytest.warns(SecretsWarning, match=KIND) as caught:
        write(data_store)
    (warning,) = caught
    first = write.__code__.co_firstlineno
    assert warning.filename == __file__ and first <= warning.lineno < first + 10
    assert TOKEN not in str(warning.message) and '"default' not in str(warning.message).partition("namespace")[0]
    assert TOKEN in str([data_store.get_record("k"), data_store.use_namespace("tasks-done:default").get("job")])


def test_the_message_names_the_place(data_store: DataStore) -> None:
    with pytest.warns(SecretsWarning) as caught:
        data_store.use_namespace("notes").set("k", {"files": [{"text": TOKEN}]})
    assert str(caught[0].message).startswith(
        'value of key "k" in namespace "notes" holds what looks like a GitHub token at $.files[0].text: keep it in'
    )
    assert issubclass(SecretsWarning, UserWarning)


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_store_can_refuse(write: Callable[[DataStore], object]) -> None:
    with connect("memory:?secrets=refuse", agent="tester") as data_store:
        with pytest.raises(InvalidArgumentError, match=KIND) as raised:
            write(data_store)
        assert TOKEN not in str(raised.value)
        assert data_store.list_keys() in ([], ["job"])
        assert data_store.use_namespace("tasks-done:default").list_keys() == []


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_store_can_allow(write: Callable[[DataStore], object]) -> None:
    # A warning is an error in these tests.
    with connect("memory:?secrets=allow", agent="tester") as data_store:
        write(data_store)


def test_a_namespace_has_a_policy_of_its_own(data_store: DataStore) -> None:
    allowed = data_store.use_namespace("vault", secrets="allow")
    allowed.set("k", TOKEN)
    # Handed on, until another one is chosen.
    allowed.use_namespace("other").set("k", TOKEN)
    refusing = allowed.use_namespace("vault", secrets="refuse")
    for write in (lambda: refusing.set("k", TOKEN), lambda: refusing.use_namespace("x").append("k", TOKEN)):
        with pytest.raises(InvalidArgumentError):
            write()
    with pytest.warns(SecretsWarning):
        data_store.use_namespace("vault").set("k", TOKEN)
    with pytest.warns(SecretsWarning):
        refusing.use_namespace("vault", secrets="warn").set("k", TOKEN)
    with pytest.raises(InvalidArgumentError, match="use secrets=allow, warn or refuse"):
        data_store.use_namespace("x", secrets="forbid")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="secrets is bool, not str"):
        data_store.use_namespace("x", secrets=True)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="secrets=allow, warn or refuse"):
        connect("memory:?secrets=maybe")


def test_a_program_may_make_errors_of_warnings(data_store: DataStore) -> None:
    with pytest.raises(SecretsWarning):
        data_store.set("k", TOKEN)
    assert data_store.get("k") == TOKEN
    with pytest.raises(SecretsWarning):
        data_store.append("l", TOKEN)
    # Each is told once.
    data_store.set("k", 1)


def test_many_are_told_in_part(data_store: DataStore) -> None:
    with pytest.warns(SecretsWarning) as caught:
        data_store.set("k", [TOKEN] * 1000)
    assert len(caught) == 20


def test_every_thread_hears_of_its_own(data_store: DataStore) -> None:
    seen: list[tuple[str, str]] = []

    def work(key: str) -> None:
        try:
            data_store.set(key, TOKEN)
        except SecretsWarning as warning:
            seen.append((key, str(warning).partition(" in ")[0]))

    threads = [threading.Thread(target=work, args=(key,)) for key in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == [(key, f'value of key "{key}"') for key in "abcdefgh"]


def test_as_coroutines(data_store: DataStore) -> None:
    def line(caught: pytest.WarningsRecorder) -> str:
        (warning,) = caught
        assert warning.filename == __file__ and TOKEN not in str(warning.message)
        return Path(__file__).read_text(encoding="utf-8").splitlines()[warning.lineno - 1].strip()

    async def main() -> None:
        aio = data_store.aio
        with pytest.warns(SecretsWarning) as caught:
            await aio.set("a", TOKEN)
        assert line(caught) == 'await aio.set("a", TOKEN)'
        with pytest.warns(SecretsWarning) as caught:
            await aio.update("b", lambda value: TOKEN)
        assert line(caught) == 'await aio.update("b", lambda value: TOKEN)'
        with pytest.warns(SecretsWarning) as caught:
            async with aio.transaction() as tx:
                await tx.set("c", TOKEN)
        assert line(caught) in ("async with aio.transaction() as tx:", 'await tx.set("c", TOKEN)')
        with pytest.warns(SecretsWarning) as caught:
            await asyncio.create_task(aio.set_many({"d": TOKEN}))
        assert line(caught).startswith("asyncio.run(main()")
        with pytest.raises(InvalidArgumentError, match=KIND):
            await aio.use_namespace("x", secrets="refuse").set("e", TOKEN)
        await aio.use_namespace("x", secrets="allow").set("f", TOKEN)
        with pytest.raises(SecretsWarning):
            await aio.get_or_compute("g", lambda: TOKEN)
        # Nothing stays behind for the next one.
        await asyncio.gather(*(aio.set(str(number), number) for number in range(100)))
        assert sorted(await aio.list_keys()) == sorted(["a", "b", "c", "d", "g", *map(str, range(100))])

    asyncio.run(main(), debug=True)


@pytest.mark.parametrize("policy", ["warn", "refuse"])
@pytest.mark.parametrize("call", ["data_store.set('k', '{}')", "data_store.set('k', ['x',\n '{}'])"])
def test_what_stands_in_the_program_is_not_shown_either(tmp_path: Path, policy: str, call: str) -> None:
    agent = tmp_path / "agent.py"
    agent.write_text("def run(input_dict, tools):\n    " + call.format(TOKEN) + "\n")
    ads = Path(sys.executable).with_name("ads")
    command: list[Any] = [ads, "run", agent, "--store", f"sqlite://{tmp_path}/s.db?secrets={policy}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == (1 if policy == "refuse" else 0)
    assert KIND in done.stderr and "agent.py" in done.stderr and "line 2" in done.stderr.replace(":2:", " line 2")
    assert TOKEN not in done.stderr


def test_a_call_from_no_line_at_all(data_store: DataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    warned: list[str] = []
    done = threading.Event()

    def show(message: Warning | str, *_: object) -> None:
        warned.append(str(message))
        done.set()

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(warnings, "showwarning", show)
        _thread.start_new_thread(data_store.set, ("k", TOKEN))
        assert done.wait(20)
    assert len(warned) == 1 and KIND in warned[0]
