"""Runs every example through the `ads` program, each run a fresh process on a store of its own."""

import ast
import base64
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ADS = os.path.abspath(os.environ.get("ADS") or Path(sys.executable).with_name("ads"))
EXAMPLES = sorted(path.name for path in HERE.glob("*.py") if not path.name.startswith("test_"))
DEADLINE_SECONDS = 120


class Store:
    """One store, and a folder in which the agents run."""

    def __init__(self, folder: Path):
        self.folder = folder / "work"
        self.folder.mkdir()
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("AGENT_DATA_STORE_")
        }
        self.environment["AGENT_DATA_STORE_URL"] = f"sqlite://{folder}/store.db"
        self.environment["HOME"] = str(folder)

    def ads(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [ADS, *arguments],
            cwd=self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
        )

    def ok(self, *arguments: str, **environment: str):
        done = self.ads(*arguments, **environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run(self, example: str, agent: str = "tester", given: dict | None = None, **environment):
        arguments = ["run", str(HERE / example), "--agent", agent]
        return json.loads(self.ok(*arguments, "--input", json.dumps(given or {}), **environment))

    def at_once(self, runs: int, example: str, given: dict) -> list:
        with ThreadPoolExecutor(runs) as pool:
            return list(pool.map(lambda _: self.run(example, given=given), range(runs)))

    def get(self, key: str, namespace: str = "default"):
        return json.loads(self.ok("get", key, "--namespace", namespace))

    def file(self, name: str, content: bytes | str) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return name


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def documented_commands(path: Path) -> list[str]:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return re.findall(r"^ {4}(\S.*\bads .*|ads .*)$", docstring, re.M)


@pytest.mark.parametrize("name", [*EXAMPLES, "demo/ingest.py", "demo/report.py"])
def test_the_commands_in_the_docstring_work(name: str, store: Store):
    shutil.copytree(HERE, store.folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    commands = documented_commands(HERE / name)
    assert any(f"ads run examples/{name}" in command for command in commands)
    for command in commands:
        words = shlex.split(command)
        split = words.index("ads")
        extra = dict(word.split("=", 1) for word in words[:split])
        assert "error" not in store.ok(*words[split + 1 :], **extra)


def test_the_table_lists_every_example_with_its_command():
    table = (HERE / "README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| \[`(\S+\.py)`\]\(\1\) \|.*\| `(.*)` \|$", table, re.M))
    assert sorted(rows) == sorted([*EXAMPLES, "demo/ingest.py", "demo/report.py"])
    for name, command in rows.items():
        assert command in documented_commands(HERE / name)


def test_cache_aside_computes_once_for_each_content(store: Store):
    path = store.file("a.py", "class A:\n    def f(self): pass\n")
    first, second = (store.run("cache_aside.py", given={"file": path}) for _ in range(2))
    assert (first["source"], second["source"]) == ("computed", "cache")
    assert first["outline"] == second["outline"]
    assert [each["name"] for each in first["outline"]] == ["A", "f"]

    store.file("a.py", "x = 1\n")
    third, fourth = (store.run("cache_aside.py", given={"file": path}) for _ in range(2))
    assert third == {"outline": [], "source": "computed"}
    assert fourth == {"outline": [], "source": "cache"}


def test_write_through_leaves_the_latest_result_to_others(store: Store):
    path = store.file("words.txt", "one two\nthree\n")
    assert store.run("write_through.py", given={"file": path}) == {
        "bytes": 14,
        "lines": 2,
        "words": 3,
    }
    store.file("words.txt", "four\n")
    latest = store.run("write_through.py", given={"file": path})
    assert store.get(path, namespace="analysis") == latest == {"bytes": 5, "lines": 1, "words": 1}


def test_ttl_cache_forgets_at_expiry(store: Store):
    store.file("folder/a.txt", "12345")
    given = {"folder": "folder", "ttl_seconds": 3600}
    first = store.run("ttl_cache.py", given=given)
    assert first == {"source": "measured", "files": 1, "bytes": 5}
    store.file("folder/b.txt", "123")
    second = store.run("ttl_cache.py", given=given)
    assert (second["source"], second["bytes"]) == ("cache", 5) and second["expires_at"]

    # A TTL of a millisecond is over before the next process has started.
    store.ok("delete", "folder", "--namespace", "folder-sizes")
    store.run("ttl_cache.py", given={"folder": "folder", "ttl_seconds": 0.001})
    assert store.run("ttl_cache.py", given=given) == {"source": "measured", "files": 2, "bytes": 8}


def test_counter_loses_nothing_when_runs_overlap(store: Store):
    numbers = [store.run("counter.py")["run_number"] for _ in range(2)]
    numbers += [each["run_number"] for each in store.at_once(6, "counter.py", {})]
    assert sorted(numbers) == list(range(1, 9))


def test_append_list_keeps_the_newest(store: Store):
    for item in ("a", {"b": 1}, "c"):
        last = store.run("append_list.py", given={"item": item, "max_items": 2})
    assert last == {"total_items": 2, "first": {"b": 1}, "latest": "c"}
    store.at_once(4, "append_list.py", {"item": "d"})
    assert store.run("append_list.py", given={"item": "e"})["total_items"] == 7


def test_running_stats_grow_with_every_run(store: Store):
    store.file("one/empty", "")
    store.file("one/ten", "0123456789")
    store.file("two/four", "0123")
    first = store.run("running_stats.py", given={"folder": "one"})
    assert first == {"count": 2, "sum": 10, "min": 0, "max": 10, "mean": 5.0}
    second = store.run("running_stats.py", given={"folder": "two"})
    assert second == {"count": 3, "sum": 14, "min": 0, "max": 10, "mean": 14 / 3}
    store.at_once(4, "running_stats.py", {"folder": "two"})
    assert store.get("file-size-statistics")["count"] == 7


def test_hierarchical_keys_are_found_by_prefix(store: Store):
    store.file("code/main.py", "print(1)\n")
    store.file("code/lib/util.py", "x = 1\n")
    given = {"project": "p", "folder": "code"}
    both = ["project:p:files:lib/util.py", "project:p:files:main.py"]
    first = store.run("hierarchical_keys.py", given=given)
    assert first == {"project": "p", "files": both, "removed": 0}
    assert store.get("project:p:status") == "scanned"

    (store.folder / "code/main.py").unlink()
    second = store.run("hierarchical_keys.py", given=given)
    assert second == {"project": "p", "files": both[:1], "removed": 1}


def test_namespaces_are_made_from_input_and_discovered_by_another_agent(store: Store):
    store.file("notes/a.md", "one\ntwo\n")
    store.file("notes/deep/b.md", "one\n")
    store.file("notes/c.txt", "one\n")
    stored = {"tree:notes:md": 2, "tree:notes:txt": 1}
    for _ in range(2):
        got = store.run("dynamic_namespaces.py", agent="writer", given={"folder": "notes"})
        assert got == {"files_stored": stored}
    store.run("counter.py")

    found = store.run("namespace_discovery.py", agent="finder", given={"prefix": "tree:"})
    assert found["matches"] == 2
    assert found["summary"]["tree:notes:md"] == {
        "records": 2,
        "agents": ["writer"],
        "sample": ["a.md", "deep/b.md"],
    }


def test_state_machine_takes_each_step_once(store: Store):
    store.file("folder/a.txt", "abc")
    assert store.run("state_machine.py", given={"job": "j"})["status"] == "pending"
    advance = {"job": "j", "folder": "folder", "action": "advance"}
    steps = [store.run("state_machine.py", given=advance)["current_step"] for _ in range(2)]
    assert steps == ["scan", "hash"]
    store.file("folder/a.txt", "abcd")
    steps = [store.run("state_machine.py", given=advance) for _ in range(3)]
    assert [each["current_step"] for each in steps] == ["verify", "complete", "complete"]
    assert steps[-1]["result"] == {"files": 1, "changed": ["folder/a.txt"]}
    assert store.run("state_machine.py", given={"job": "j"}) == steps[-1]


def test_state_machine_refuses_the_second_of_two_runs(store: Store):
    store.file("folder/a.txt", "abc")
    advance = {"job": "j", "folder": "folder", "action": "advance"}
    got = store.at_once(4, "state_machine.py", advance)
    # Runs that overlap conflict; runs that do not take the next step. No step is taken twice.
    steps = [each["current_step"] for each in got if "error" not in each]
    assert len(steps) == len(set(steps)) >= 1
    assert len(store.get("job:j")["completed"]) == len(steps)


def test_batches_go_on_from_the_checkpoint(store: Store):
    for number in range(5):
        store.file(f"folder/{number}", str(number))
    given = {"folder": "folder", "batch_size": 2}
    got = [store.run("batch_checkpoint.py", given=given) for _ in range(4)]
    assert [each["batch"] for each in got] == [["0", "1"], ["2", "3"], ["4"], []]
    assert [each["complete"] for each in got] == [False, False, True, True]
    assert got[-1]["processed"] == 5
    expected = hashlib.sha256(b"3").hexdigest()
    assert store.get("result:3", namespace="batch:folder") == expected


def test_the_lock_lets_one_run_in(store: Store):
    store.file("folder/a.md", "# Title\n\ntext\n## Part\n")
    given = {"folder": "folder"}
    first = store.run("advisory_lock.py", given=given)
    assert first == {"result": {"generation": 1, "files": 1, "removed": 0}}
    # The first run has released the lock, long before its lease ends.
    assert store.run("advisory_lock.py", given=given)["result"]["generation"] == 2
    assert store.get("headings:a.md", namespace="contents:folder") == ["Title", "Part"]

    held = {"agent": "other", "acquired_at": "2026-01-01T00:00:00+00:00"}
    store.ok("set", "lock:folder", json.dumps(held))
    refused = store.run("advisory_lock.py", given=given)
    assert refused == {"error": "resource locked", "locked_by": "other"}
    store.ok("delete", "lock:folder")

    got = store.at_once(6, "advisory_lock.py", given)
    worked = [each["result"]["generation"] for each in got if "result" in each]
    assert sorted(worked) == list(range(3, 3 + len(worked))) and worked
    assert store.get("generation", namespace="contents:folder") == 2 + len(worked)


def test_the_index_finds_documents_and_follows_changes(store: Store):
    store.file("docs/a.md", "Rust is fast")
    store.file("docs/b.md", "Fast agents remember")
    assert store.run("index_search.py", given={"index": "docs"}) == {"indexed": {"a.md": 2, "b.md": 3}}

    def search(query: str) -> list[str]:
        found = store.run("index_search.py", given={"query": query})["results"]
        return [each["name"] for each in found]

    assert search("FAST") == ["a.md", "b.md"]
    assert search("agents fast") == ["b.md"]
    assert search("slow") == []
    store.file("docs/b.md", "Slow agents remember")
    store.run("index_search.py", given={"index": "docs"})
    assert (search("fast"), search("slow")) == (["a.md"], ["b.md"])


def test_binary_data_comes_back_intact_and_bytes_are_refused(store: Store):
    content = bytes(range(256))
    path = store.file("all.png", content)
    for _ in range(2):
        got = store.run("binary_data.py", given={"file": path})
        assert got["intact"] and got["bytes"] == 256 and got["mime_type"] == "image/png"
        assert "$.data" in got["refused"] and "bytes" in got["refused"]
    stored = store.get("all.png", namespace="small-files")
    assert base64.b64decode(stored["data"]) == content


def test_secrets_stay_out_of_the_store(store: Store):
    path = store.file("a.txt", "abc")
    assert "error" in store.run("secrets_by_environment.py", given={"file": path})
    key = {"SIGNING_KEY": "correct-horse-battery"}
    got = [store.run("secrets_by_environment.py", given={"file": path}, **key) for _ in range(2)]
    assert [each["same_as_before"] for each in got] == [False, True]
    kept = b"".join(path.read_bytes() for path in store.folder.parent.glob("store.db*"))
    assert got[0]["hmac_sha256"].encode() in kept
    assert key["SIGNING_KEY"].encode() not in kept


def test_the_demo_answers_from_the_store_the_second_time(store: Store):
    store.file("src/main.py", "import hashlib\nprint(hashlib)\n")
    store.file("src/util.py", "import hashlib\n")
    store.file("README.md", "A small project about hashlib.\n")
    assert "error" in store.run("demo/report.py", agent="report")
    first = store.run("demo/ingest.py", agent="ingest")
    assert (first["files"], first["analysed"], first["from_cache"]) == (3, 3, 0)
    report = store.run("demo/report.py", agent="report")
    assert (report["source"], report["files"]) == ("computed", 3)
    assert report["largest_file"]["read_by"] == "ingest"
    assert store.get("hashlib", namespace="report:index") == [
        "README.md",
        "src/main.py",
        "src/util.py",
    ]

    second = store.run("demo/ingest.py", agent="ingest")
    assert (second["analysed"], second["from_cache"]) == (0, 3)
    assert store.run("demo/report.py", agent="report") == {**report, "source": "cache"}

    (store.folder / "src/util.py").unlink()
    third = store.run("demo/ingest.py", agent="ingest")
    assert (third["from_cache"], third["forgotten"]) == (2, 1)
    assert store.run("demo/report.py", agent="report")["files"] == 2
