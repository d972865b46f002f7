"""What several test files need."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest


def together(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Runs `work` in `count` threads that start at the same moment."""
    ready = threading.Barrier(count)

    def begin(number: int) -> Any:
        ready.wait()
        return work(number)

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(begin, range(count)))


def in_processes(count: int, code: str, *arguments: str) -> list[str]:
    """Runs `code` in `count` processes that start at the same moment, and gives what each has printed."""
    begin = "import sys\nprint('ready', flush=True)\nsys.stdin.readline()\n"
    command = [sys.executable, "-c", begin + code, *arguments]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(count)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * count
    return outputs


@contextmanager
def process(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process that runs `code`; it has printed `ready` and is killed at the end of the block."""
    command = [sys.executable, "-c", code, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        try:
            assert started.stdout is not None
            assert started.stdout.readline() == "ready\n"
            yield started
        finally:
            started.kill()


@contextmanager
def busy(work: Callable[[int], object], threads: int) -> Iterator[None]:
    """Keeps threads at `work`, which gets a number that is never the same, while the block runs."""
    finished = threading.Event()
    numbers = iter(range(10**9))
    failures: list[BaseException] = []
    worked = threading.Semaphore(0)

    def loop() -> None:
        try:
            while not finished.is_set():
                work(next(numbers))
                worked.release()
        except BaseException as error:
            failures.append(error)
            worked.release()

    running = [threading.Thread(target=loop) for _ in range(threads)]
    for thread in running:
        thread.start()
    for _ in range(threads):
        worked.acquire()
    try:
        yield
    finally:
        finished.set()
        for thread in running:
            thread.join()
    assert failures == []


def in_child(work: Callable[[], Any]) -> Any:
    """Runs `work` in a forked child and returns its result."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def main() -> None:
        try:
            sender.send((True, work()))
        except BaseException as error:
            sender.send((False, repr(error)))

    child = context.Process(target=main)
    child.start()
    sender.close()
    assert receiver.poll(60), "the child hangs"
    succeeded, result = receiver.recv()
    child.join(60)
    assert succeeded, result
    return result


class Server:
    """`ads serve` in a process of its own, over a file; it can be killed and started again at the same address."""

    def __init__(self, store_url: str) -> None:
        self._store_url = store_url
        self.url = "http://127.0.0.1:0"
        self.start()

    def start(self) -> None:
        address = self.url.removeprefix("http://")
        arguments = ["serve", "--json", "--store", self._store_url, "--listen", address]
        command = [sys.executable, "-m", "agent_data_store", *arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self._process.stdout is not None
        self.url = json.loads(self._process.stdout.readline())["url"]

    def make_token(self, *options: str) -> str:
        """A token; from the first one on nobody gets in without."""
        command = [sys.executable, "-m", "agent_data_store", "token", "create", *options, "--store", self._store_url]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def terminate(self) -> None:
        """Asks it to end."""
        self._process.terminate()

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        self._process.communicate(timeout=20)
        return self._process.returncode

    def kill(self) -> None:
        """As a crash would end it."""
        self._process.kill()
        self._process.communicate()


def interrupted_while_waiting(work: Callable[[], object]) -> None:
    """Presses Ctrl-C while this thread waits in `work`."""
    begun = threading.Event()

    def interrupt() -> None:
        begun.wait()
        os.kill(os.getpid(), signal.SIGINT)

    interval = sys.getswitchinterval()
    # Until the main thread lets go of the interpreter by itself, which it does in order to wait, no other one gets it.
    sys.setswitchinterval(100)
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            begun.set()
            work()
    finally:
        sys.setswitchinterval(interval)
        thread.join()
