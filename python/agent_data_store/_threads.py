"""Threads for what may wait, so that no event loop does."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from agent_data_store._native import found_secrets, keep_found_secrets

if TYPE_CHECKING:
    from agent_data_store._native import Call

_T = TypeVar("_T")

# Writers that arrive together share one disk flush, so more threads mean more writes per second.
_MOST_THREADS = 64

_lock = threading.Lock()
_threads: ThreadPoolExecutor | None = None


def _forget_threads() -> None:
    """Threads do not survive a fork: the child starts its own."""
    global _lock, _threads
    _lock, _threads = threading.Lock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)


def _executor() -> ThreadPoolExecutor:
    global _threads
    with _lock:
        if _threads is None:
            _threads = ThreadPoolExecutor(_MOST_THREADS, "agent-data-store", keep_found_secrets)
        return _threads


async def in_thread(function: Callable[..., _T], *args: Any) -> _T:
    """Calls `function` in a thread."""
    result, found = await asyncio.get_running_loop().run_in_executor(_executor(), _called, function, args)
    if found:
        # Here the line that awaits is on the stack.
        from agent_data_store._warnings import warn

        warn(found)
    return result


def _called(function: Callable[..., _T], args: tuple[Any, ...]) -> tuple[_T, list[str]]:
    return function(*args), found_secrets()


def begin_in_thread(function: Callable[[], object]) -> None:
    """Has `function` called in a thread that nobody waits for."""
    # At exit there are no threads any more, and nothing else will run.
    with suppress(RuntimeError):
        _executor().submit(function)


async def completed(call: Call, function: Callable[..., Any] | None = None) -> Any:
    """The result of `call`; `function`, a plain or a coroutine function, answers its questions on the event loop.

    A thread is taken only for a step, not while the call waits. Cancelling the task ends the call.
    """
    loop = asyncio.get_running_loop()
    is_done = False
    try:
        while not is_done:
            woken = asyncio.Event()
            step = await in_thread(call.advance, partial(_wake, loop, woken))
            if step is None:
                await woken.wait()
            elif step:
                is_done = True
            else:
                assert function is not None
                try:
                    answer = function(*call.question())
                    call.answer(await answer if inspect.isawaitable(answer) else answer)
                except Exception as error:
                    call.fail(error)
        return call.result()
    finally:
        if not is_done:
            # It may have something to release.
            begin_in_thread(call.cancel)


def _wake(loop: asyncio.AbstractEventLoop, woken: asyncio.Event) -> None:
    # The loop may have been closed meanwhile; then nobody waits there.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(woken.set)
