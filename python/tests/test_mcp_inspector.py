"""The Model Context Protocol, driven by the official inspector's command-line mode: one process for each request."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from helpers import Server

INSPECTOR = Path(sys.prefix) / "inspector" / "node_modules"
ADS = Path(sys.executable).with_name("ads")
DEADLINE_SECONDS = 60


@pytest.fixture(autouse=True)
def installed() -> None:
    if (INSPECTOR.parent / "installed.json").exists():
        return
    missing = "the MCP inspector is not installed: scripts/prepare-inspector says why"
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    print(f"\nSKIPPED: {missing}", file=sys.__stderr__)
    pytest.skip(missing)


class Inspector:
    def __init__(self, target: list[str], era: str) -> None:
        self.target = target
        self.era = era
        self.called: set[str] = set()

    def ask(self, method: str, *options: str) -> dict[str, Any]:
        program = INSPECTOR / "@modelcontextprotocol" / "inspector" / "clients" / "launcher" / "build" / "index.js"
        command = ["node", str(program), "--cli", *self.target, "--method", method, *options]
        command += ["--protocol-era", self.era, "--format", "json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_SECONDS)
        assert done.stdout, (command, done.returncode, done.stderr)
        answer = json.loads(done.stdout)
        assert isinstance(answer, dict)
        result = answer.get("result", answer)
        assert isinstance(result, dict)
        return result

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        self.called.add(tool)
        result = self.ask("tools/call", "--tool-name", tool, "--tool-args-json", json.dumps(arguments))
        answer = json.loads(result["content"][0]["text"])
        assert isinstance(answer, dict) and not result.get("isError"), answer
        return answer


def drive(inspector: Inspector) -> None:
    listed = inspector.ask("tools/list", "--strict")["tools"]
    assert inspector.call("set", key="k", value={"a": [1, None]})["version"] == 1
    assert inspector.call("get", key="k", path="/a")["value"] == [1, None]
    assert inspector.call("increment", key="n", by=2)["value"] == 2
    assert inspector.call("append", key="l", item="x")["length"] == 1
    assert inspector.call("merge", key="k", patch={"b": 1})["value"] == {"a": [1, None], "b": 1}
    assert len(inspector.call("get_many", keys=["k", "n"])["records"]) == 2
    assert inspector.call("list_keys")["keys"] == ["k", "l", "n"]
    assert inspector.call("list_namespaces")["namespaces"][0]["records"] == 3
    assert inspector.call("search", text="N")["found"] == [{"namespace": "default", "key": "n"}]
    assert inspector.call("wait_for", key="n")["value"] == 2
    lock = inspector.call("lock", resource="r")
    assert inspector.call("unlock", resource="r", token=lock["token"])["released"]
    task = inspector.call("claim", prefix="l")["task"]
    assert inspector.call("complete", key="l", token=task["token"], result="done")["ended"] == "done"
    assert inspector.call("delete", key="n")["deleted"]
    assert inspector.called == {tool["name"] for tool in listed}
    resources = inspector.ask("resources/list")["resources"]
    assert [resource["uri"] for resource in resources] == ["ads://default/k", "ads://tasks-done%3Adefault/l"]
    (content,) = inspector.ask("resources/read", "--uri", "ads://default/k")["contents"]
    assert json.loads(content["text"]) == {"a": [1, None], "b": 1}
    (template,) = inspector.ask("resources/templates/list")["resourceTemplates"]
    assert template["uriTemplate"] == "ads://{namespace}/{key}"


def test_the_inspector_drives_every_tool_and_resource_over_both_transports(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It keeps files at home.
    monkeypatch.setenv("HOME", str(tmp_path))
    store = f"sqlite://{tmp_path}/stdio.db?durability=relaxed"
    inspectors = [
        Inspector([str(ADS), "mcp", "-e", f"AGENT_DATA_STORE_URL={store}"], "legacy"),
        Inspector(["--server-url", f"{server.url}/mcp", "--transport", "http"], "modern"),
    ]
    with ThreadPoolExecutor(len(inspectors)) as threads:
        list(threads.map(drive, inspectors))
