"""What a tool of the Model Context Protocol takes beside one that does nothing, over each transport."""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import data
from contenders import Peer
from contenders.base import Unavailable
from contenders.ours import Ours
from scenario import Plan, Scenario, expect

VERSION = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


def program() -> str:
    ads = Path(sys.executable).with_name("ads")
    found = str(ads) if ads.exists() else shutil.which("ads")
    if found is None:
        raise Unavailable("the program ads is not installed")
    return found


def request(tool: str, arguments: dict[str, Any]) -> bytes:
    params = {"name": tool, "arguments": arguments, "_meta": META}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    return json.dumps(message, separators=(",", ":")).encode()


class Stdio:
    """`ads mcp` at the other end of two pipes."""

    def __init__(self, url: str) -> None:
        command = [program(), "mcp", "--store", url, "--user", "bench", "--namespace", "bench"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def ask(self, tool: str, message: bytes) -> bytes:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(message + b"\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()

    def close(self) -> None:
        self.process.communicate(timeout=60)


class Http:
    """`ads serve` at the other end of a connection that stays open."""

    def __init__(self, url: str) -> None:
        command = [program(), "serve", "--store", url, "--listen", "127.0.0.1:0", "--json", "--log-level", "warn"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self.process.stdout
        address = urlsplit(json.loads(self.process.stdout.readline())["url"]).netloc
        self.connection = http.client.HTTPConnection(address)

    def ask(self, tool: str, message: bytes) -> bytes:
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": VERSION,
            "Mcp-Method": "tools/call",
            "Mcp-Name": tool,
            "X-User-Id": "bench",
        }
        self.connection.request("POST", "/mcp", message, headers)
        return self.connection.getresponse().read()

    def close(self) -> None:
        self.connection.close()
        self.process.terminate()
        self.process.communicate(timeout=60)


class Mcp(Scenario):
    """A call of a tool that there is not goes all the way of a call, and is answered without the store."""

    name = "mcp"
    title = "round trip of a get by MCP, 200 B"
    contenders = ("ours",)
    measures = ("get_stdio", "empty_stdio", "get_http", "empty_http")
    hot = 100

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.servers: dict[str, Stdio | Http] = {}

    def supports(self, peer: type[Peer]) -> bool:
        return issubclass(peer, Ours)

    def prepare(self, peer: Peer) -> dict[str, Any]:
        values = data.pool(data.SMALL_BYTES)
        peer.fill(0, self.hot, values)
        url = f"sqlite://{peer.folder / 'store.db'}"
        self.servers = {"stdio": Stdio(url), "http": Http(url)}
        self.calls = {
            "get": [("get", request("get", {"namespace": "bench", "key": data.key(i)})) for i in range(self.hot)],
            "empty": [("nothing", request("nothing", {}))],
        }
        for server in self.servers.values():
            tool, message = self.calls["get"][2]
            found = json.loads(server.ask(tool, message))
            expect(json.loads(found["result"]["content"][0]["text"])["value"], values[2], "get")
            tool, message = self.calls["empty"][0]
            expect("error" in json.loads(server.ask(tool, message)), True, "a tool that there is not")
        self.count = 10
        seconds = max(self.measure(measure, peer) for measure in self.measures)
        self.count = max(10, int(self.plan.slice_seconds / seconds))
        return {"calls": self.count}

    def measure(self, name: str, peer: Peer) -> float:
        what, transport = name.split("_")
        ask, calls = self.servers[transport].ask, self.calls[what]
        # Other processes ran since the last slice.
        for i in range(self.count // 10):
            ask(*calls[i % len(calls)])
        started = time.perf_counter()
        for i in range(self.count):
            ask(*calls[i % len(calls)])
        return (time.perf_counter() - started) / self.count

    def close(self) -> None:
        for server in self.servers.values():
            server.close()
