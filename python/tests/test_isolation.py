"""What the code of an agent can reach through `data_store`: its own user's records, and nothing else."""

from __future__ import annotations

import copy
import gc
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import Server

import agent_data_store
from agent_data_store import DataStore, DataStoreError, PermissionDeniedError, connect, run_agent

Attack = Callable[[Any], object]


def class_of(thing: Any) -> Any:
    return type(thing)


# Ways by which Python objects are turned into others, or looked into.
ATTACKS: dict[str, Attack] = {
    "set user": lambda store: setattr(store, "user", "bob"),
    "set user past the class": lambda store: object.__setattr__(store, "user", "bob"),
    "delete user": lambda store: delattr(store, "user"),
    "set by descriptor": lambda store: class_of(store).user.__set__(store, "bob"),
    "new attribute": lambda store: setattr(store, "extra", 1),
    "dict": lambda store: store.__dict__,
    "vars": vars,
    "class": lambda store: setattr(store, "__class__", type("Other", (), {})),
    "subclass": lambda store: type("Other", (class_of(store),), {"user": "bob"}),
    "call the class": lambda store: class_of(store)("memory:", user="bob"),
    "new": lambda store: class_of(store).__new__(class_of(store)),
    "object new": lambda store: object.__new__(class_of(store)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": pickle.dumps,
    "pickle as of old": lambda store: pickle.loads(pickle.dumps(store, 0)),
    "reduce": lambda store: store.__reduce_ex__(4),
    "patch the class": lambda store: setattr(class_of(store), "user", "bob"),
    "patch a verb": lambda store: setattr(class_of(store), "set", lambda *_: None),
    "patch its dict": lambda store: class_of(store).__dict__.__setitem__("user", "bob"),
    "delete a verb": lambda store: delattr(class_of(store), "get"),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_an_object_cannot_be_turned_into_another_ones(data_store: DataStore, attack: Attack) -> None:
    data_store.set("k", 1)
    with pytest.raises((TypeError, AttributeError)):
        attack(data_store)
    assert (data_store.user, data_store.agent, data_store.get("k")) == ("alice", "tester", 1)


@pytest.mark.parametrize("attack", ["patch the class", "patch a verb", "delete a verb"])
def test_no_agent_changes_what_the_next_one_in_its_process_finds(data_store: DataStore, attack: str) -> None:
    with data_store.lock("r") as lease, data_store.transaction() as tx:
        data_store.use_namespace("jobs").set("k", 1)
        claim = data_store.use_namespace("jobs").claim("", ttl=60)
        assert claim is not None
        for part in (lease, tx, claim, data_store.items(), data_store.watch(timeout=0)):
            with pytest.raises((TypeError, AttributeError)):
                ATTACKS[attack](part)


@pytest.mark.parametrize("place", ["file", "server"])
def test_no_name_leads_to_another_user(place: str, request: pytest.FixtureRequest, file_url: str) -> None:
    url = file_url if place == "file" else request.getfixturevalue("server").url
    names = ["bob", "bob:default", "../bob", "/bob/default", "bob\x01default", "*", "%", "' OR '1'='1", "ads:tokens"]
    with connect(url, user="bob") as bob, connect(url, user="alice", agent="tester") as alice:
        bob.set("hidden", "hidden")
        bob.use_namespace("hidden").set("hidden", "hidden")
        for name in [*names, "default", "hidden"]:
            view = alice.use_namespace(name)
            assert (view.user, view.get_all(), view.list_keys(), view.count()) == ("alice", {}, [], 0)
            for key in [*names, "hidden"]:
                assert view.get_record(key) is None
                assert not view.delete(key)
            assert view.clear() == 0
        assert (alice.list_namespaces(), alice.namespaces()) == ([], [])
        assert not any(change.key for change in alice.watch(since=0, timeout=0))
        assert (bob.get("hidden"), bob.use_namespace("hidden").get("hidden")) == ("hidden", "hidden")


@pytest.mark.parametrize("user", ["ads:tokens", "ads:copy", "ads:", "", "a\0b", "u" * 257])
def test_nobody_acts_for_the_stores_own_users(file_url: str, user: str) -> None:
    with pytest.raises(DataStoreError):
        connect(file_url, user=user)


# What an agent in a process of its own finds of a text, given in two halves so that it is not in its own code.
SEARCH = """
import gc, os, sys, traceback


def run(input_dict, tools):
    wanted = input_dict["first"] + input_dict["second"]
    found = []

    def look(where, thing):
        if isinstance(thing, (str, bytes)) and thing is not wanted:
            text = thing if isinstance(thing, str) else thing.decode("utf-8", "replace")
            if wanted in text:
                found.append(where)

    errors = []
    for attempt in (
        lambda: data_store.set("k", 1),
        lambda: data_store.set("k", object()),
        lambda: data_store.get(""),
        lambda: data_store.increment("k", "x"),
        lambda: data_store.use_namespace("elsewhere").get("k"),
        lambda: type(data_store)(),
        lambda: data_store.__reduce_ex__(4),
    ):
        try:
            attempt()
        except Exception as error:
            errors.append(error)
            while error is not None:
                for part in (str(error), repr(error), repr(error.__dict__), *traceback.format_exception(error)):
                    look("an error", part)
                error = error.__cause__ or error.__context__
    for thing in (data_store, data_store.aio, data_store.get, data_store.items(), data_store.watch(timeout=0)):
        for name in dir(thing):
            if name not in ("__abstractmethods__", "__annotations__"):
                look(f"{type(thing).__name__}.{name}", repr(getattr(thing, name, None)))
    frame = sys._getframe(1)
    while frame is not None:
        for name, value in frame.f_locals.items():
            look(f"a local of {frame.f_code.co_name}: {name}", value)
            look(f"a local of {frame.f_code.co_name}: {name}", repr(value) if name != "input_dict" else "")
        frame = frame.f_back
    for thing in gc.get_objects():
        if not isinstance(thing, (list, tuple, dict, set, frozenset)):
            continue
        for part in (*thing, *(thing.values() if isinstance(thing, dict) else ())):
            look(f"an object {type(thing).__name__}", part)
    look("sys.argv", " ".join(sys.argv))
    look("os.environ", repr(dict(os.environ)))
    if os.path.exists("/proc/self/environ"):
        look("/proc/self", open("/proc/self/environ", "rb").read() + open("/proc/self/cmdline", "rb").read())
    return {"found": sorted(set(found)), "errors": len(errors)}
"""


def test_the_token_is_found_nowhere_by_an_agent(server: Server, tmp_path: Path) -> None:
    token = server.make_token("--user", "alice", "--read-only", "--namespace", "default")
    (tmp_path / "token").write_text(token)
    agent = tmp_path / "agent.py"
    agent.write_text(SEARCH)
    given = json.dumps({"first": token[:20], "second": token[20:]})
    command = [sys.executable, "-m", "agent_data_store", "run", str(agent), "--input", given, "--store", server.url]
    done = subprocess.run([*command, "--token-file", str(tmp_path / "token")], capture_output=True, text=True)
    assert json.loads(done.stdout) == {"found": [], "errors": 7}, done.stderr
    # It can tell: one in the environment is there for all code of the process.
    environment = {**os.environ, "AGENT_DATA_STORE_TOKEN": token}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert set(json.loads(done.stdout)["found"]) >= {"os.environ"}, done.stderr


def test_a_token_that_run_agent_is_given_is_in_no_frame_of_its_own(server: Server, tmp_path: Path) -> None:
    token = server.make_token("--user", "alice", "--write")
    agent = tmp_path / "agent.py"
    agent.write_text(
        "import sys\n\n\ndef run(input_dict, tools):\n    frame, names = sys._getframe(1), []\n"
        "    while frame is not None and 'agent_data_store' in frame.f_code.co_filename:\n"
        "        names += frame.f_locals\n        frame = frame.f_back\n    return names\n"
    )
    names = run_agent(agent, {}, url=server.url, token=token)
    assert "source" in names and "token" not in names


def test_a_token_decides_and_not_what_the_agent_says(server: Server) -> None:
    admin = server.make_token("--admin")
    token = server.make_token("--user", "alice", "--agent", "reader", "--write", "--namespace", "open:*")
    with connect(server.url, user="bob", token=admin) as bob:
        bob.use_namespace("open:1").set("hidden", "hidden")
    with connect(server.url, token=token) as alice:
        opened = alice.use_namespace("open:1")
        assert (opened.user, opened.agent, opened.get_all()) == ("alice", "reader", {})
        for name in ("default", "open", "OPEN:1", "x/open:1"):
            with pytest.raises(PermissionDeniedError):
                alice.use_namespace(name).get("k")
    with pytest.raises(PermissionDeniedError), connect(server.url, token=token, user="bob") as store:
        store.use_namespace("open:1").get("hidden")


def test_nothing_of_a_store_hangs_on_its_objects_in_python(data_store: DataStore) -> None:
    data_store.set("k", "a value that is nowhere else")
    for thing in (data_store, data_store.items(), data_store.watch(timeout=0)):
        assert gc.get_referents(thing) == [type(thing)]


def test_the_package_hands_out_no_store_that_is_open() -> None:
    with connect("memory:", user="bob") as bob:
        bob.set("hidden", "hidden")
        modules = [module for name, module in sys.modules.items() if name.split(".")[0] == "agent_data_store"]
        assert agent_data_store in modules
        kept = [value for module in modules for value in vars(module).values()]
        assert not any(isinstance(value, DataStore) for value in kept)
