"""JSON as the store takes and gives it against Python's `json`: every text that fuzzing has found, and damaged ones.

Usage: against_python.py [SECONDS]
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from agent_data_store import connect

HERE = Path(__file__).parent
RECORD = "/data-store/namespaces/default/records/k"
DEEPEST = 128


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60
    # Integers may have any length, here and there.
    sys.set_int_max_str_digits(0)
    command = [sys.executable, "-m", "agent_data_store", "serve", "--json", "--store", "memory:"]
    with subprocess.Popen(
        [*command, "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        try:
            assert server.stdout is not None
            url = json.loads(server.stdout.readline())["url"]
            compare(url, seconds)
        finally:
            server.terminate()


def compare(url: str, seconds: float) -> None:
    until = time.monotonic() + seconds
    count = taken = 0
    connection = HTTPConnection(url.removeprefix("http://"))
    with connect(url) as remote, connect("memory:") as local:
        for text in texts():
            if time.monotonic() > until:
                break
            body = b'{"value":' + text + b"}"
            connection.request("PUT", RECORD, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            try:
                value = strictly(text)
            except (ValueError, RecursionError):
                assert answer.status in (400, 413), (answer.status, text)
            else:
                assert answer.status == 200, (answer.status, text)
                assert same(remote.get("k"), value), text
                local.set("k", value)
                assert same(local.get("k"), value), text
                taken += 1
            count += 1
    print(f"{count} texts, of which {taken} are JSON: the store and Python agree on all")


def strictly(text: bytes) -> Any:
    """What Python reads, without what it takes beyond the standard and what others could not read back."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    value = json.loads(text.decode("utf-8").strip(" \t\r\n"), parse_constant=refuse)
    json.dumps(value, allow_nan=False, ensure_ascii=False).encode("utf-8")
    if depth(value) > DEEPEST:
        raise ValueError("nested too deep")
    return value


def depth(value: Any) -> int:
    if not isinstance(value, (dict, list)):
        return 0
    return 1 + max(map(depth, value.values() if isinstance(value, dict) else value), default=0)


def same(left: Any, right: Any) -> bool:
    """Whether both are equal to the last bit, in type and in order."""
    return repr(left) == repr(right)


def texts() -> Iterator[bytes]:
    seed = time.time_ns()
    print(f"seed {seed}")
    chance = random.Random(seed)
    paths = [path for name in ("seeds", "corpus") for path in sorted((HERE / name / "json").glob("*"))]
    known = [path.read_bytes() for path in paths]
    yield from known
    pieces = [
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b'"',
        b"\\",
        b"\\u",
        b"d800",
        b"e",
        b".",
        b"-",
        b"0",
        b"9" * 30,
        b"\xff",
    ]
    while True:
        text = bytearray(chance.choice(known))
        for _ in range(chance.randrange(1, 4)):
            start, end = sorted(chance.choices(range(len(text) + 1), k=2))
            text[start : min(end, start + 3)] = chance.choice(pieces) * chance.randrange(3)
        yield bytes(text)


if __name__ == "__main__":
    main()
