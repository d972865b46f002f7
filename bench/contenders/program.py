"""A contender that is a native program and times itself: one JSON request a line, one JSON answer a line."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import data
from contenders.base import Peer, Unavailable

TARGET = Path(__file__).resolve().parents[2] / "target"


class Program(Peer):
    path: Path

    def arguments(self) -> list[str]:
        """What it is started with beside the folder."""
        return []

    def open(self) -> None:
        command = [str(self.path), str(self.folder), *self.arguments()]
        try:
            self.program = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
            )
        except OSError as error:
            raise Unavailable(f"{self.path.name} cannot be started: {error}") from None

    def ask(self, verb: str, **arguments: Any) -> dict[str, Any]:
        assert self.program.stdin and self.program.stdout
        request = {"verb": verb, "namespace": self.space, **arguments}
        self.program.stdin.write(data.encode(request) + "\n")
        self.program.stdin.flush()
        line = self.program.stdout.readline()
        answer = json.loads(line) if line else {"error": f"{self.path.name} ended"}
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
