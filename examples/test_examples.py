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
from datetime import datetime, timedelta
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
    for folder in (HERE, HERE.parent / "docs"):
        shutil.copytree(folder, store.folder / folder.name, ignore=shutil.ignore_patterns("__pycache__"))
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


BOTH = pytest.mark.parametrize("form", [{}, {"by_hand": True}], ids=["call", "by hand"])


@BOTH
def test_cache_aside_computes_once_for_each_content(store: Store, form: dict):
    path = store.file("a.py", "class A:\n    def f(self): pass\n")
    first, second = (store.run("cache_aside.py", given={"file": path, **form}) for _ in range(2))
    assert (first["source"], second["source"]) == ("computed", "cache")
    assert first["outline"] == second["outline"]
    assert [each["name"] for each in first["outline"]] == ["A", "f"]

    store.file("a.py", "x = 1\n")
    third, fourth = (store.run("cache_aside.py", given={"file": path, **form}) for _ in range(2))
    assert third == {"outline": [], "source": "computed"}
    assert fourth == {"outline": [], "source": "cache"}


def test_cache_aside_computes_once_among_runs_and_forms(store: Store):
    path = store.file("a.py", "x = 1\n")
    sources = [each["source"] for each in store.at_once(6, "cache_aside.py", {"file": path})]
    assert sorted(sources) == ["cache"] * 5 + ["computed"]
    assert store.run("cache_aside.py", given={"file": path, "by_hand": True})["source"] == "cache"


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


@BOTH
def test_ttl_cache_forgets_at_expiry(store: Store, form: dict):
    store.file("folder/a.txt", "12345")
    given = {"folder": "folder", "ttl_seconds": 3600, **form}
    assert store.run("ttl_cache.py", given=given) == {"source": "measured", "files": 1, "bytes": 5}
    store.file("folder/b.txt", "123")
    assert store.run("ttl_cache.py", given=given) == {"source": "cache", "files": 1, "bytes": 5}

    # A TTL of a millisecond is over before the next process has started.
    store.ok("clear", "--yes", "--namespace", "folder-sizes")
    short = {**given, "ttl_seconds": 0.001}
    store.run("ttl_cache.py", given=short)
    assert store.run("ttl_cache.py", given=short) == {"source": "measured", "files": 2, "bytes": 8}


def test_counter_loses_nothing_when_runs_overlap(store: Store):
    numbers = [store.run("counter.py", given={"by_hand": by_hand})["run_number"] for by_hand in (False, True)]
    numbers += [each["run_number"] for each in store.at_once(6, "counter.py", {})]
    assert sorted(numbers) == list(range(1, 9))


@BOTH
def test_append_list_keeps_the_newest(store: Store, form: dict):
    for item in ("a", {"b": 1}, "c"):
        last = store.run("append_list.py", given={"item": item, "max_items": 2, **form})
    assert last == {"total_items": 2, "first": {"b": 1}, "latest": "c"}


def test_append_list_loses_nothing_when_runs_overlap(store: Store):
    store.at_once(6, "append_list.py", {"item": "d"})
    assert store.run("append_list.py", given={"item": "e", "by_hand": True})["total_items"] == 7


@BOTH
def test_running_stats_grow_with_every_run(store: Store, form: dict):
    store.file("one/empty", "")
    store.file("one/ten", "0123456789")
    store.file("two/four", "0123")
    first = store.run("running_stats.py", given={"folder": "one", **form})
    assert first == {"count": 2, "sum": 10, "min": 0, "max": 10, "mean": 5.0}
    second = store.run("running_stats.py", given={"folder": "two", **form})
    assert second == {"count": 3, "sum": 14, "min": 0, "max": 10, "mean": 14 / 3}
    store.at_once(4, "running_stats.py", {"folder": "two"})
    assert store.get("file-size-statistics")["count"] == 7


def test_partial_updates_leave_the_rest(store: Store):
    def change(changes: dict, **form: bool) -> dict:
        return store.run("partial_update.py", given={"project": "p", "changes": changes, **form})

    assert change({"status": "new", "owner": {"team": "a"}}) == {"status": "new", "owner": {"team": "a"}}
    assert change({"owner": {"team": None, "name": "Ada"}}) == {"status": "new", "owner": {"name": "Ada"}}
    assert change({"status": "done"}, by_hand=True) == {"status": "done", "owner": {"name": "Ada"}}
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda number: change({str(number): number}), range(6)))
    assert store.get("project:p") == {"status": "done", "owner": {"name": "Ada"}, **{str(n): n for n in range(6)}}


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


@BOTH
def test_state_machine_takes_each_step_once(store: Store, form: dict):
    store.file("folder/a.txt", "abc")
    assert store.run("state_machine.py", given={"job": "j"})["status"] == "pending"
    advance = {"job": "j", "folder": "folder", "action": "advance", **form}
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


@BOTH
def test_batches_go_on_from_the_checkpoint(store: Store, form: dict):
    for number in range(5):
        store.file(f"folder/{number}", str(number))
    given = {"folder": "folder", "batch_size": 2, **form}
    got = [store.run("batch_checkpoint.py", given=given) for _ in range(4)]
    assert [each["batch"] for each in got] == [["0", "1"], ["2", "3"], ["4"], []]
    assert [each["complete"] for each in got] == [False, False, True, True]
    assert got[-1]["processed"] == 5
    expected = hashlib.sha256(b"3").hexdigest()
    assert store.get("result:3", namespace="batch:folder") == expected


def test_batches_of_runs_that_overlap_are_different_ones(store: Store):
    for number in range(8):
        store.file(f"folder/{number}", str(number))
    got = store.at_once(4, "batch_checkpoint.py", {"folder": "folder", "batch_size": 2})
    assert sorted(each["batch"] for each in got) == [["0", "1"], ["2", "3"], ["4", "5"], ["6", "7"]]


@BOTH
def test_the_lock_lets_one_run_in(store: Store, form: dict):
    store.file("folder/a.md", "# Title\n\ntext\n## Part\n")
    given = {"folder": "folder", **form}
    first = store.run("advisory_lock.py", given=given)
    assert first == {"result": {"generation": 1, "files": 1, "removed": 0}}
    # The first run has released the lock, long before its lease ends.
    assert store.run("advisory_lock.py", given=given)["result"]["generation"] == 2
    assert store.get("headings:a.md", namespace="contents:folder") == ["Title", "Part"]

    held = {"agent": "other", "acquired_at": datetime.now().isoformat()}
    store.ok("set", "lock:folder", json.dumps(held))
    refused = store.run("advisory_lock.py", given=given)
    assert refused == {"error": "resource locked", "locked_by": "other"}
    held["acquired_at"] = (datetime.now() - timedelta(minutes=6)).isoformat()
    store.ok("set", "lock:folder", json.dumps(held))
    assert store.run("advisory_lock.py", given=given)["result"]["generation"] == 3


def test_the_lock_is_waited_for(store: Store):
    store.file("folder/a.md", "# Title\n")
    got = store.at_once(6, "advisory_lock.py", {"folder": "folder", "wait_seconds": 60})
    assert sorted(each["result"]["generation"] for each in got) == [1, 2, 3, 4, 5, 6]
    got = store.at_once(6, "advisory_lock.py", {"folder": "folder"})
    worked = [each["result"]["generation"] for each in got if "result" in each]
    assert sorted(worked) == list(range(7, 7 + len(worked))) and worked
    assert store.get("generation", namespace="contents:folder") == 6 + len(worked)


@BOTH
def test_the_index_finds_documents_and_follows_changes(store: Store, form: dict):
    store.file("docs/a.md", "Rust is fast")
    store.file("docs/b.md", "Fast agents remember")
    assert store.run("index_search.py", given={"index": "docs", **form}) == {"indexed": {"a.md": 2, "b.md": 3}}

    def search(query: str) -> list[str]:
        found = store.run("index_search.py", given={"query": query})["results"]
        return [each["name"] for each in found]

    assert search("FAST") == ["a.md", "b.md"]
    assert search("agents fast") == ["b.md"]
    assert search("slow") == []
    store.file("docs/b.md", "Slow agents remember")
    store.run("index_search.py", given={"index": "docs", **form})
    assert (search("fast"), search("slow")) == (["a.md"], ["b.md"])


def test_runs_that_index_at_once_lose_no_document(store: Store):
    for number in range(4):
        store.file(f"docs{number}/{number}.md", "common words of them all")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: store.run("index_search.py", given={"index": f"docs{n}"}), range(4)))
    assert sorted(store.get("common", namespace="keyword-index")) == ["0.md", "1.md", "2.md", "3.md"]


def test_every_task_is_done_once(store: Store):
    for number in range(20):
        store.file(f"folder/{number:02}.txt", "line\n" * number)
    store.file("folder/picture.png", bytes(range(256)))
    plan = {"action": "plan", "folder": "folder"}
    assert store.run("fan_out.py", given=plan) == {"planned": 21}
    by_hand = store.run("fan_out.py", given={"action": "work", "by_hand": True, "limit": 2})
    got = [by_hand, *store.at_once(4, "fan_out.py", {"action": "work"})]
    assert sorted(key for each in got for key in each["done"]) == [f"file:folder/{n:02}.txt" for n in range(20)]
    assert [key for each in got for key in each["failed"]] == ["file:folder/picture.png"]
    status = store.run("fan_out.py", given={"action": "status"})
    assert (status["waiting"], status["claimed"], status["done"]) == (0, [], 20)
    assert status["failed"]["file:folder/picture.png"].startswith("UnicodeDecodeError")
    assert store.get("file:folder/07.txt", namespace="tasks-done:line-counts") == {"lines": 7}

    # Planned again, what is done is not done again.
    store.run("fan_out.py", given=plan)
    assert store.run("fan_out.py", given={"action": "work"}) == {"done": [], "failed": ["file:folder/picture.png"]}


@BOTH
def test_a_consumer_waits_for_its_producer(store: Store, form: dict):
    given = {"role": "consumer", "timeout_seconds": 60, **form}
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(store.run, "handoff.py", given=given)
        store.run("handoff.py", given={"role": "producer", "chapters": ["one", "two"]})
        assert waiting.result() == {"chapters": ["one", "two"]}
    late = json.dumps({**given, "timeout_seconds": 0.01})
    done = store.ads("run", str(HERE / "handoff.py"), "--user", "nobody", "--input", late)
    assert done.returncode == 1 and "TimeoutError" in done.stderr


def test_a_follower_sees_each_change_once(store: Store):
    follow = {"role": "follower", "timeout_seconds": 0}
    store.run("handoff.py", given={"role": "producer", "chapters": ["one", "two"]})
    assert store.run("handoff.py", given=follow) == {"changed": ["chapter:000", "chapter:001"]}
    assert store.run("handoff.py", given=follow) == {"changed": []}
    store.ok("set", "chapter:001", "three", "--string", "--namespace", "book")
    assert store.run("handoff.py", given=follow) == {"changed": ["chapter:001"]}


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
