"""A contender in a process of its own, told what to do line by line."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from scenario import Plan

HERE = Path(__file__).resolve().parent


class Worker:
    def __init__(self, contender: str, scenario: str, folder: Path, plan: Plan) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.contender = contender
        command = [sys.executable, str(HERE / "worker.py"), contender, scenario, str(folder), json.dumps(asdict(plan))]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def ask(self, command: str) -> dict[str, Any]:
        self.tell(command)
        return self.answer()

    def tell(self, command: str) -> None:
        assert self.process.stdin
        # A process that has ended left an answer that says why.
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(command + "\n")

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        return json.loads(line) if line else {"error": f"its process ended with {self.process.wait()}"}

    def close(self) -> None:
        assert self.process.stdin
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
