"""What the parts cost by themselves: SQLite, the disk, parsing, an interpreter."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import data
from contenders.base import Peer, Unavailable

PROGRAM = Path(__file__).resolve().parents[2] / "target" / "bench-floors" / "release" / "floors"


class Interpreter(Peer):
    """Python with the bench's own modules and no store: what memory is counted from."""

    name = "interpreter"
    title = "Python alone"


class Jiter(Peer):
    """Parsing alone: the text is already in memory."""

    name = "jiter"
    title = "jiter parse"
    note = "with its string cache for keys only or for all strings, whichever is faster on these values"
    verbs = ("get",)

    def open(self) -> None:
        import jiter

        self.jiter = jiter
        self.texts: dict[str, bytes] = {}
        self.cache_mode = "keys"

    def fill(self, start: int, count: int, values: list[Any], chunk: int = 1000) -> None:
        for i in range(start, start + count):
            self.texts[data.key(i)] = data.encode(values[i % len(values)]).encode()
        calls = [(key,) for key in self.texts] * 3
        modes = {}
        for self.cache_mode in ("keys", "all"):
            self.time("get", calls)
            modes[self.cache_mode] = self.time("get", calls)
        self.cache_mode = min(modes, key=lambda mode: modes[mode])

    def time(self, verb: str, calls: list[tuple[Any, ...]]) -> float:
        parse, mode, result = self.jiter.from_json, self.cache_mode, None
        texts = [self.texts[key] for (key,) in calls]
        started = time.perf_counter()
        for text in texts:
            result = parse(text, cache_mode=mode)
        seconds = time.perf_counter() - started
        self.last = result
        return seconds

    def versions(self) -> dict[str, str]:
        return {"jiter": self.jiter.__version__}


class RawSqlite(Peer):
    """SQLite through its C API from a native program that times itself: no Python, no JSON."""

    name = "raw-sqlite"
    title = "raw SQLite, C API"
    synced = True
    note = "same schema, pragmas and SQLite build as ours; statements held; checkpoints untimed"
    verbs: tuple[str, ...] = ("get", "set", "set_many", "get_many", "get_all", "list_keys", "list_namespaces", "clear")

    def open(self) -> None:
        if not PROGRAM.exists():
            raise Unavailable("the floors program is not built")
        self.program = subprocess.Popen(
            [PROGRAM, self.folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def ask(self, verb: str, **arguments: Any) -> dict[str, Any]:
        assert self.program.stdin and self.program.stdout
        request = {"verb": verb, "namespace": self.space, **arguments}
        self.program.stdin.write(data.encode(request) + "\n")
        self.program.stdin.flush()
        line = self.program.stdout.readline()
        answer = json.loads(line) if line else {"error": "the floors program ended"}
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def fill(self, start: int, count: int, values: list[Any], chunk: int = 1000) -> None:
        self.ask("fill", start=start, count=count, texts=[data.encode(value) for value in values])

    def time(self, verb: str, calls: list[tuple[Any, ...]]) -> float:
        if verb == "set":
            calls = [(key, data.encode(value)) for key, value in calls]
        elif verb == "set_many":
            calls = [([[key, data.encode(value)] for key, value in items.items()],) for (items,) in calls]
        answer = self.ask(verb, calls=calls)
        self.last = answer["found"]
        return answer["seconds"]

    def close(self) -> None:
        assert self.program.stdin
        self.program.stdin.close()
        self.program.wait()

    def versions(self) -> dict[str, str]:
        return {"SQLite (floor)": self.ask("version")["version"]}


class Fdatasync(RawSqlite):
    """What the disk itself costs: 4 KB written over a file already there, then fdatasync."""

    name = "fdatasync"
    title = "4 KB write + fdatasync"
    note = "overwrites a preallocated file"
    verbs = ("set",)
    mode = "overwrite"

    def fill(self, start: int, count: int, values: list[Any], chunk: int = 1000) -> None: ...

    def time(self, verb: str, calls: list[tuple[Any, ...]]) -> float:
        answer = self.ask("fdatasync", mode=self.mode, count=len(calls))
        return answer["seconds"]

    def versions(self) -> dict[str, str]:
        return {}


class FdatasyncAppend(Fdatasync):
    name = "fdatasync-append"
    title = "4 KB append + fdatasync"
    note = "the file grows, so its size is written too"
    mode = "append"
