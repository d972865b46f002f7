"""`ads mcp` as the process that a client starts: its options, its streams and its end."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from helpers import Server
from mcp_support import Way, command, run

from agent_data_store import connect

DEADLINE_SECONDS = 30


class Process:
    """A server whose streams the test holds itself."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        assert process.stdin is not None and process.stdout is not None
        self.stdin, self.stdout = process.stdin, process.stdout

    def send(self, line: str | bytes) -> None:
        self.stdin.write((line.encode() if isinstance(line, str) else line) + b"\n")
        self.stdin.flush()

    def request(self, method: str, number: int, **params: Any) -> None:
        self.send(json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}))

    def call(self, tool: str, number: int, **arguments: Any) -> None:
        self.request("tools/call", number, name=tool, arguments=arguments)

    def answer(self) -> dict[str, Any]:
        answer = json.loads(self.stdout.readline())
        assert isinstance(answer, dict) and answer["jsonrpc"] == "2.0"
        return answer

    def begin(self) -> None:
        information = {"name": "raw", "version": "1"}
        self.request("initialize", 0, protocolVersion="2025-11-25", capabilities={}, clientInfo=information)
        assert self.answer()["result"]["serverInfo"]["name"] == "agent-data-store"
        self.send('{"jsonrpc": "2.0", "method": "notifications/initialized"}')

    def end(self) -> tuple[int, bytes]:
        """Closes stdin; returns the exit code and what was left on stdout."""
        self.stdin.close()
        rest = self.stdout.read()
        return self.process.wait(DEADLINE_SECONDS), rest


@contextmanager
def started(url: str, *options: str) -> Iterator[Process]:
    process = subprocess.Popen(
        command(url, *options), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        yield Process(process)
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            assert stream is not None
            # What was left to be sent has nowhere to go.
            with suppress(BrokenPipeError):
                stream.close()


def test_it_ends_when_stdin_closes(file_url: str) -> None:
    with started(file_url) as server:
        assert server.end() == (0, b"")
    with started(file_url) as server:
        server.begin()
        server.call("set", 1, key="k", value=1)
        # Whoever waits is told, and keeps nobody.
        server.call("wait_for", 2, key="later", timeout_seconds=50)
        code, rest = server.end()
        answers = {answer["id"]: answer for answer in map(json.loads, rest.splitlines())}
        assert code == 0 and not answers[1]["result"]["isError"]
    with connect(file_url) as store:
        assert store.get("k") == 1


def test_only_messages_are_on_stdout_and_no_value_is_on_stderr(file_url: str) -> None:
    secret = "correct horse battery staple"
    with started(file_url) as server:
        server.begin()
        for number in range(1, 20):
            server.call("set", number, key=f"k{number}", value=secret)
        server.call("no such tool", 20, value=secret)
        server.send("this is no JSON")
        server.send('{"jsonrpc": "2.0", "id": 21, "method": "tools/call", "params": {"name": 7}}')
        server.send("[]")
        server.call("get", 22, key="k1")
        code, rest = server.end()
        lines = [json.loads(line) for line in rest.splitlines()]
        answered = {line["id"] for line in lines}
        assert code == 0 and answered >= set(range(1, 23)) and all(line["jsonrpc"] == "2.0" for line in lines)
        assert server.process.stderr is not None
        assert secret not in server.process.stderr.read().decode()


def test_a_message_that_breaks_off_is_not_done(file_url: str) -> None:
    with started(file_url) as server:
        server.begin()
        message = {"name": "set", "arguments": {"key": "k", "value": "x" * 100_000}}
        whole = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": message})
        server.stdin.write(whole.encode())
        server.stdin.flush()
        assert server.end() == (0, b"")
    with connect(file_url) as store:
        assert store.get("k") is None


def test_a_client_that_closes_its_ears_ends_it(file_url: str) -> None:
    with started(file_url) as server:
        server.begin()
        server.stdout.close()
        with pytest.raises(BrokenPipeError):
            for number in range(1, 100_000):
                server.call("set", number, key="k", value=number)
        assert server.process.wait(DEADLINE_SECONDS) == 0


def test_a_client_that_never_reads_is_no_reason_to_hang_or_to_keep_everything(file_url: str) -> None:
    with connect(file_url) as store:
        store.set("k", "x" * 15_000)
    with started(file_url) as server:
        server.begin()
        # Its answers would take 150 MB.
        with pytest.raises(BrokenPipeError):
            for number in range(1, 10_000):
                server.call("get", number, key="k")
        assert server.process.wait(DEADLINE_SECONDS) == 6
        assert server.process.stderr is not None
        assert b"does not read its answers" in server.process.stderr.read()


def test_a_client_that_never_reads_and_goes_ends_it(file_url: str) -> None:
    with started(file_url) as server:
        server.begin()
        for number in range(1, 100):
            server.call("list_namespaces", number)
        server.stdin.close()
        assert server.process.wait(DEADLINE_SECONDS) == 0


def test_a_client_that_does_not_begin_as_it_should_is_told(file_url: str) -> None:
    with started(file_url) as server:
        server.request("tools/list", 1)
        assert "missing" in server.answer()["error"]["message"]
        server.send('{"jsonrpc": "2.0", "method": "notifications/initialized"}')
        assert server.process.wait(DEADLINE_SECONDS) == 6


def test_options_say_who_acts_and_what_is_reached(file_url: str) -> None:
    with connect(file_url, user="alice", agent="writer") as store:
        for namespace in ["project:a", "private"]:
            store.use_namespace(namespace).set("k", namespace)
    way = Way("auto", file_url)

    async def limited() -> None:
        options = ["--user", "alice", "--agent", "named", "--namespace", "project:*", "--max-characters", "2000"]
        async with way.assistant(*options) as assistant:
            namespaces = (await assistant.call("list_namespaces"))["namespaces"]
            assert [found["namespace"] for found in namespaces] == ["project:a"]
            assert (await assistant.refused("get", namespace="private", key="k"))["code"] == "permission_denied"
            assert (await assistant.refused("set", key="k", value=1))["code"] == "permission_denied"
            (resource,) = (await assistant.client.list_resources()).resources
            assert resource.uri == "ads://project%3Aa/k"
            await assistant.call("set", namespace="project:b", key="k", value="x" * 5_000)
            cut = await assistant.call("get", namespace="project:b", key="k")
            assert cut["characters"] == 5_002 and assistant.longest <= 2_000
            assert "project:*" in (assistant.client.instructions or "")
        with connect(file_url, user="alice") as store:
            record = store.use_namespace("project:b").get_record("k")
            assert record is not None and record.created_by_agent == "named"

    async def reading() -> None:
        async with way.assistant("--user", "alice", "--namespace", "private", "--read-only") as assistant:
            tools = {tool.name for tool in (await assistant.client.list_tools()).tools}
            assert tools == {"get", "get_many", "list_keys", "list_namespaces", "search", "wait_for"}
            assert (await assistant.call("get", key="k"))["value"] == "private", "the only namespace is the usual one"
            assert (await assistant.refused("set", key="k", value=1))["code"] == "permission_denied"

    run(limited())
    run(reading())


def test_options_that_cannot_be_are_told(file_url: str) -> None:
    for options, told in [
        (["--max-characters", "10"], "at least 2000"),
        (["--agent", ""], "agent is empty"),
        (["--namespace", ""], "namespace is empty"),
    ]:
        refused = subprocess.run(command(file_url, *options), stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert (refused.returncode, refused.stdout) == (2, "") and told in refused.stderr


def test_a_store_on_a_server_is_served_as_its_token_allows(server: Server, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(server.make_token("--user", "alice", "--write", "--namespace", "project:*"))

    async def use() -> None:
        way = Way("auto", server.url)
        async with way.assistant("--token-file", str(token), name="remote-assistant") as assistant:
            await assistant.call("set", namespace="project:a", key="k", value=1)
            found = await assistant.call("get", namespace="project:a", key="k", bookkeeping=True)
            assert found["record"]["createdByAgent"] == "remote-assistant"
            assert (await assistant.refused("get", namespace="other", key="k"))["code"] == "permission_denied"
            lock = await assistant.call("lock", namespace="project:a", resource="r")
            assert (await assistant.call("unlock", namespace="project:a", resource="r", token=lock["token"]))[
                "released"
            ]
            waited = await assistant.call("wait_for", namespace="project:a", key="k")
            assert waited["value"] == 1

    run(use())
