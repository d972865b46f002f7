"""Running agents, from Python and with the program `ads`."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import WaitUntil

from agent_data_store import (
    DataStore,
    InvalidArgumentError,
    NotSerializableError,
    connect,
    run_agent,
    run_agent_async,
)

WriteAgent = Callable[..., Path]


@pytest.fixture
def write_agent(tmp_path: Path) -> WriteAgent:
    def write(code: str, name: str = "agent.py") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(code), encoding="utf-8")
        return path

    return write


COUNTER = """
    async def run(input_dict: dict, tools: dict) -> dict:
        current = data_store.get("processed-count", default=0)
        current += 1
        data_store.set("processed-count", current)
        return {"run_number": current}
"""


def test_an_agent_remembers(write_agent: WriteAgent, file_url: str) -> None:
    agent = write_agent(COUNTER)
    assert [run_agent(agent, {}, url=file_url)["run_number"] for _ in range(3)] == [1, 2, 3]
    assert run_agent(str(agent), url=file_url, user="bob") == {"run_number": 1}
    assert run_agent(agent, url=file_url, namespace="other") == {"run_number": 1}
    with connect(file_url) as data_store:
        record = data_store.get_record("processed-count")
        assert record is not None and record.updated_by_agent == "agent"


def test_run_gets_its_arguments_and_globals(write_agent: WriteAgent, data_store: DataStore) -> None:
    agent = write_agent(
        """
        import collections

        LIMIT = 3

        def helper(name):
            return collections.Counter(re.findall("a", json.dumps(name))), LIMIT, bonus

        async def run(input_dict, tools):
            await asyncio.sleep(0)
            return helper(input_dict["name"]), tools["double"](4), data_store, __file__
        """
    )
    given: dict[str, Any] = {"name": "banana"}
    result = run_agent(agent, given, {"double": lambda n: n * 2}, data_store=data_store, globals={"bonus": 7})
    assert result == (({"a": 3}, 3, 7), 8, data_store, str(agent))
    data_store.set("still", "open")


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_run_may_be_a_plain_function(write_agent: WriteAgent, data_store: DataStore, kind: str) -> None:
    agent = write_agent(f"{kind} run(*, input_dict, tools): return [input_dict, tools]")
    assert run_agent(agent, data_store=data_store) == [{}, {}]


def test_code_without_a_file(data_store: DataStore) -> None:
    code = compile("def run(input_dict, tools): return data_store.namespace", "<job 7>", "exec")
    assert run_agent(code, data_store=data_store) == "default"
    with pytest.raises(InvalidArgumentError, match="<job 7> defines no function run"):
        run_agent(compile("ran = 1", "<job 7>", "exec"), data_store=data_store)


def test_the_module_is_a_real_one(write_agent: WriteAgent, data_store: DataStore) -> None:
    write_agent("ANSWER = 42", "helper_of_the_agent.py")
    agent = write_agent(
        """
        from __future__ import annotations
        from dataclasses import dataclass
        from helper_of_the_agent import ANSWER
        import sys

        @dataclass
        class Task:
            number: int

        def run(input_dict, tools):
            assert sys.modules[__name__].run is run
            return Task(ANSWER).number

        if __name__ == "__main__":
            raise SystemExit("an agent is no script")
        """,
        "json.py",
    )
    before = list(sys.path), set(sys.modules) | {"helper_of_the_agent"}
    assert run_agent(agent, data_store=data_store) == 42
    assert (list(sys.path), set(sys.modules) | {"helper_of_the_agent"}) == before
    assert sys.modules["json"] is json


def test_what_the_agent_raises_passes_through(write_agent: WriteAgent, data_store: DataStore) -> None:
    agent = write_agent("def run(input_dict, tools): data_store.set('k', b'')")
    with pytest.raises(NotSerializableError):
        run_agent(agent, data_store=data_store)
    with pytest.raises(SyntaxError):
        run_agent(write_agent("def run(:"), data_store=data_store)
    with pytest.raises(FileNotFoundError):
        run_agent("no such agent.py", data_store=data_store)
    assert not any(name.startswith("agent:") for name in sys.modules)


def test_a_store_that_was_opened_for_the_agent_is_closed(write_agent: WriteAgent, file_url: str) -> None:
    agent = write_agent("def run(input_dict, tools): return data_store")
    with pytest.raises(InvalidArgumentError, match="closed"):
        run_agent(agent, url=file_url).get("key")
    with connect(file_url) as data_store, pytest.raises(InvalidArgumentError, match="give either"):
        run_agent(agent, data_store=data_store, url=file_url)


def test_inside_a_running_event_loop(write_agent: WriteAgent, data_store: DataStore) -> None:
    agent = write_agent(COUNTER)
    plain = write_agent("import threading\ndef run(input_dict, tools): return threading.get_ident()", "plain.py")

    async def main() -> None:
        assert run_agent(agent, data_store=data_store) == {"run_number": 1}
        assert await run_agent_async(agent, data_store=data_store) == {"run_number": 2}
        # A plain function must not stop the loop.
        assert await run_agent_async(plain, data_store=data_store) != threading.get_ident()

    asyncio.run(main())


def test_agents_side_by_side_on_one_loop(write_agent: WriteAgent, file_url: str) -> None:
    agent = write_agent(
        """
        async def run(input_dict, tools):
            await data_store.aio.set(data_store.agent, input_dict["n"])
            await tools["all_here"].wait()
            return data_store.agent, input_dict["n"]
        """
    )

    async def main() -> list[Any]:
        event = asyncio.Event()
        runs = [
            asyncio.create_task(
                run_agent_async(agent, {"n": number}, {"all_here": event}, url=file_url, agent=f"a{number}")
            )
            for number in range(5)
        ]
        with connect(file_url) as data_store:
            while await data_store.aio.count() < 5:
                await asyncio.sleep(0.005)
        event.set()
        return await asyncio.gather(*runs)

    assert asyncio.run(main()) == [(f"a{number}", number) for number in range(5)]


def ads(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "agent_data_store", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=60, **options)


def test_ads_run_prints_the_result_as_json(write_agent: WriteAgent, file_url: str) -> None:
    agent = write_agent(
        """
        print("chatter")
        async def run(input_dict, tools):
            data_store.set("k", input_dict)
            who = [data_store.user, data_store.agent, data_store.namespace]
            return {"input": input_dict, "tools": tools, "who": who}
        """
    )
    done = ads("run", agent, "--store", file_url, "--input", '{"é": [1, 2.5, null]}', "--tools", '{"t": 1}')
    assert (done.returncode, done.stderr) == (0, "")
    chatter, result = done.stdout.splitlines()
    assert chatter == "chatter"
    assert json.loads(result) == {
        "input": {"é": [1, 2.5, None]},
        "tools": {"t": 1},
        "who": ["default", "agent", "default"],
    }
    done = ads("run", agent, "--store", file_url, "--user", "u", "--agent", "a", "--namespace", "n")
    assert json.loads(done.stdout.splitlines()[1])["who"] == ["u", "a", "n"]
    assert json.loads(ads("get", "k", "--store", file_url).stdout) == {"é": [1, 2.5, None]}


def test_ads_run_prints_utf8_whatever_the_locale(write_agent: WriteAgent) -> None:
    agent = write_agent("def run(input_dict, tools): return 'é😀'")
    done = ads("run", agent, "--store", "memory:", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stdout) == (0, '"é😀"\n')


def test_ads_run_shows_a_traceback_of_the_agent_alone(write_agent: WriteAgent) -> None:
    agent = write_agent(
        """
        async def run(input_dict, tools):
            helper()

        def helper():
            data_store.set("k", {"read": b""})
        """
    )
    done = ads("run", agent, "--store", "memory:")
    assert (done.returncode, done.stdout) == (1, "")
    first, *frames, last = done.stderr.splitlines()
    assert first == "Traceback (most recent call last):"
    assert last.startswith("agent_data_store.NotSerializableError (TypeError): value at $.read is bytes")
    places = [line for line in frames if line.lstrip().startswith("File ")]
    assert [re.sub(r"line \d+, ", "", place.strip()) for place in places] == [
        f'File "{agent}", in run',
        f'File "{agent}", in helper',
    ]
    code = "def run(input_dict, tools): data_store.set('k', 1); data_store.set('k', 2, if_version=0)"
    done = ads("run", write_agent(code), "--store", "memory:")
    assert done.stderr.splitlines()[-1].startswith(
        'agent_data_store.ConflictError: key "k" in namespace "default" is at'
    )
    done = ads("run", write_agent("def run(:"), "--store", "memory:")
    assert (done.returncode, done.stdout) == (1, "")
    assert f'File "{agent}", line 1' in done.stderr and "SyntaxError" in done.stderr
    assert "agent_data_store" not in done.stderr


def test_ads_run_refuses_a_result_that_is_not_json(write_agent: WriteAgent) -> None:
    done = ads("run", write_agent("def run(input_dict, tools): return {'a': {1, 2}}"), "--store", "memory:")
    assert (done.returncode, done.stdout) == (1, "")
    assert "result at $.a is set, which JSON cannot hold: store a list" in done.stderr


def test_ads_run_tells_its_own_failures_by_their_exit_code(write_agent: WriteAgent, tmp_path: Path) -> None:
    agent = write_agent("def run(input_dict, tools): return 1")
    done = ads("run", agent, "--store", f"sqlite://{tmp_path}/missing/store.db")
    assert (done.returncode, done.stdout) == (6, "")
    assert done.stderr.startswith("ads: ") and "Traceback" not in done.stderr
    assert ads("run", tmp_path / "missing.py", "--store", "memory:").returncode == 2
    assert ads("run", agent, "--store", "memory:", "--input", "[1]").returncode == 2
    done = ads("run", write_agent("def walk(): pass"), "--store", "memory:")
    assert done.returncode == 1 and "defines no function run" in done.stderr


def test_ads_run_traces_every_operation(write_agent: WriteAgent) -> None:
    agent = write_agent(
        """
        async def run(input_dict, tools):
            await data_store.aio.set("k", "the value")
            data_store.use_namespace("other").get("missing")
            return len(data_store.get_all())
        """
    )
    done = ads("run", agent, "--store", "memory:", "--trace")
    assert (done.returncode, done.stdout) == (0, "1\n")
    lines = [line.split()[1:] for line in done.stderr.splitlines()]
    assert [line[:4] for line in lines] == [
        ["set", "default", "k", "done"],
        ["get", "other", "missing", "missing"],
        ["get_all", "default", "-", "1"],
    ]
    assert "the value" in done.stderr


def test_ads_run_gives_the_names_of_another_file(write_agent: WriteAgent) -> None:
    provide = write_agent(
        """
        import math
        _private = 1
        async def fetch(url): return {"url": url, "seen": data_store.get("seen", 0), "pi": int(math.pi)}
        """,
        "provide.py",
    )
    agent = write_agent(
        """
        async def run(input_dict, tools):
            data_store.set("seen", 1)
            return [await fetch("x"), "_private" in globals(), math.floor(2.5)]
        """
    )
    done = ads("run", agent, "--store", "memory:", "--globals", provide)
    assert (done.returncode, done.stdout) == (0, '[{"url":"x","seen":1,"pi":3},false,2]\n'), done.stderr
    write_agent("__all__ = ['_private']\n_private = 5\npublic = 6", "provide.py")
    agent = write_agent("def run(input_dict, tools): return [_private, 'public' in globals()]")
    assert ads("run", agent, "--store", "memory:", "--globals", provide).stdout == "[5,false]\n"


def test_an_agent_may_end_the_program(write_agent: WriteAgent, file_url: str) -> None:
    agent = write_agent(
        """
        import sys
        def run(input_dict, tools):
            data_store.set("k", 1)
            sys.exit(9)
        """
    )
    done = ads("run", agent, "--store", file_url)
    assert (done.returncode, done.stdout, done.stderr) == (9, "", "")
    assert ads("get", "k", "--store", file_url).stdout == "1\n"


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_an_interrupt_reaches_the_agent(write_agent: WriteAgent, file_url: str, wait_until: WaitUntil) -> None:
    agent = write_agent(
        """
        async def run(input_dict, tools):
            try:
                data_store.set("k", "started")
                await asyncio.sleep(60)
            finally:
                data_store.set("k", "cleaned up")
        """
    )
    command = [sys.executable, "-m", "agent_data_store", "run", str(agent), "--store", file_url]
    with connect(file_url) as data_store, subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: data_store.get("k") == "started")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == -signal.SIGINT
        assert "KeyboardInterrupt" in errors
        assert data_store.get("k") == "cleaned up"


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_an_interrupt_ends_what_is_no_agent(file_url: str) -> None:
    command = [sys.executable, "-m", "agent_data_store", "set", "k", "--file", "-", "--store", file_url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        # Fills the pipe: once this returns, the program is reading.
        process.stdin.write(b" " * (8 << 20))
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == -signal.SIGINT


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_long_result_is_printed_whole(write_agent: WriteAgent, unbuffered: str) -> None:
    agent = write_agent("def run(input_dict, tools): return 'x' * 10_000_000")
    done = ads("run", agent, "--store", "memory:", env={**os.environ, "PYTHONUNBUFFERED": unbuffered})
    assert (done.returncode, len(done.stdout)) == (0, 10_000_003)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_result_that_cannot_be_written_is_told(write_agent: WriteAgent) -> None:
    command = [sys.executable, "-m", "agent_data_store", "run", "--store", "memory:"]
    agent = write_agent("def run(input_dict, tools): return 1")
    with open("/dev/full", "w") as full:
        done = subprocess.run([*command, str(agent)], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 6
    assert done.stderr.startswith("ads: cannot write the output: ") and len(done.stderr.splitlines()) == 1


@pytest.mark.skipif(os.name != "posix", reason="needs pipes")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_goes_away_is_no_failure(write_agent: WriteAgent, unbuffered: str) -> None:
    agent = write_agent("print('chatter')\ndef run(input_dict, tools): return 'x' * 10_000_000")
    command = [sys.executable, "-m", "agent_data_store", "run", str(agent), "--store", "memory:"]
    env = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == b"chatter\n"
        process.stdout.close()
        assert process.wait(60) == 0
        assert process.stderr.read() == b""


def test_the_program_is_installed_with_the_package(file_url: str) -> None:
    from importlib.metadata import entry_points

    (program,) = entry_points(group="console_scripts", name="ads")
    assert program.value == "agent_data_store._cli:main"
    done = ads("--version")
    assert done.returncode == 0 and done.stdout.startswith("ads ")


def test_reads_are_counted_without_closing(file_url: str) -> None:
    code = f"""
import agent_data_store, ctypes
data_store = agent_data_store.connect({file_url!r}, agent="careless")
data_store.set("k", 1)
data_store.get("k")
# As if somebody forgot it: it is never collected, not even at exit.
ctypes.pythonapi.Py_IncRef(ctypes.py_object(data_store))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    with connect(file_url) as data_store:
        record = data_store.get_record("k")
        assert record is not None and record.access_count == 1


def test_importing_the_package_is_cheap() -> None:
    code = "import agent_data_store, sys; print({'asyncio', 'typing', 'dataclasses', 'inspect'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "set()\n"
