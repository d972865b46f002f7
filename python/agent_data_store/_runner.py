"""Running an agent: a Python file, or code, that finds `data_store` among its globals."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import json
import os
import re
import sys
import types
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from agent_data_store._errors import InvalidArgumentError
from agent_data_store._native import connect

if TYPE_CHECKING:
    from agent_data_store._native import DataStore

Source: TypeAlias = str | os.PathLike[str] | types.CodeType


def run_agent(
    source: Source,
    input_dict: dict[str, Any] | None = None,
    tools: dict[str, Any] | None = None,
    *,
    data_store: DataStore | None = None,
    url: str | None = None,
    user: str | None = None,
    agent: str | None = None,
    namespace: str | None = None,
    token: str | None = None,
    globals: Mapping[str, Any] | None = None,
) -> Any:
    """Runs an agent and returns what its `run` returns.

    `source` is the path of a Python file, or a code object from `compile(text, name, "exec")`. It is executed as one
    module with `data_store`, `asyncio`, `json`, `re` and the names in `globals` as globals, a file with its own folder
    first on `sys.path`; then its `run(input_dict=…, tools=…)` is called, and awaited if it is a coroutine function.

    The agent works on `data_store`, or, without one, on a store that is opened for it as `connect(url, user=user,
    agent=agent, namespace=namespace, token=token)` does, and closed afterwards; the name of its file without the ending
    is its name as an agent, unless one is given or in the environment.

    Works inside a running event loop too, in a notebook for instance; that loop then stands still until the agent is
    done, which `run_agent_async` avoids.

    Raises whatever the agent raises, `InvalidArgumentError` where it has no `run`, and what `connect` raises.
    """
    store = _store(source, data_store, url, user, agent, namespace, token)
    # An agent can look into the frames of those who have called it.
    del token
    try:
        with _loaded(source, store, globals) as run:
            result = run(input_dict=_given(input_dict), tools=_given(tools))
            return _wait_for(result) if inspect.isawaitable(result) else result
    finally:
        if data_store is None:
            store.close()


async def run_agent_async(
    source: Source,
    input_dict: dict[str, Any] | None = None,
    tools: dict[str, Any] | None = None,
    *,
    data_store: DataStore | None = None,
    url: str | None = None,
    user: str | None = None,
    agent: str | None = None,
    namespace: str | None = None,
    token: str | None = None,
    globals: Mapping[str, Any] | None = None,
) -> Any:
    """Like `run_agent`, on the running event loop: `async def run` is awaited there, a plain one runs in a thread."""
    store = await asyncio.to_thread(_store, source, data_store, url, user, agent, namespace, token)
    del token
    try:
        with _loaded(source, store, globals) as run:
            given = {"input_dict": _given(input_dict), "tools": _given(tools)}
            result = run(**given) if inspect.iscoroutinefunction(run) else await asyncio.to_thread(run, **given)
            return await result if inspect.isawaitable(result) else result
    finally:
        if data_store is None:
            await asyncio.to_thread(store.close)


def _store(
    source: Source,
    data_store: DataStore | None,
    url: str | None,
    user: str | None,
    agent: str | None,
    namespace: str | None,
    token: str | None,
) -> DataStore:
    if data_store is None:
        if agent is None and not isinstance(source, types.CodeType):
            agent = os.environ.get("AGENT_DATA_STORE_AGENT") or Path(source).stem
        return connect(url, user=user, agent=agent, namespace=namespace, token=token)
    if not (url is user is agent is namespace is token is None):
        raise InvalidArgumentError("data_store is given and so is how to open one: give either")
    return data_store


def _given(argument: dict[str, Any] | None) -> dict[str, Any]:
    return {} if argument is None else argument


def _wait_for(awaitable: Awaitable[Any]) -> Any:
    async def main() -> Any:
        return await awaitable

    # A thread has one event loop at most: where it is running, and busy waiting for us, another thread has to serve.
    if not _has_running_loop():
        return asyncio.run(main())
    with ThreadPoolExecutor(1, thread_name_prefix="agent") as thread:
        return thread.submit(contextvars.copy_context().run, asyncio.run, main()).result()


def _has_running_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


@contextmanager
def _loaded(source: Source, data_store: DataStore, extra: Mapping[str, Any] | None) -> Iterator[Callable[..., Any]]:
    """Executes an agent as a module and gives its `run`."""
    with executed(source, {**base_globals(data_store), **(extra or {})}) as module:
        run = vars(module).get("run")
        if not callable(run):
            raise InvalidArgumentError(
                f"{module.__file__} defines no function run: an agent needs "
                "`async def run(input_dict: dict, tools: dict) -> dict`, or the same without async"
            )
        yield run


def base_globals(data_store: DataStore) -> dict[str, Any]:
    """What every agent finds among its globals."""
    return {"data_store": data_store, "asyncio": asyncio, "json": json, "re": re}


@contextmanager
def executed(source: Source, names: Mapping[str, Any]) -> Iterator[types.ModuleType]:
    """Executes code as a module with `names` as globals; until the end it is found in `sys.modules`."""
    if isinstance(source, types.CodeType):
        code, folder = source, None
    else:
        path = Path(source).absolute()
        code = compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
        folder = str(path.parent)
    # Not the bare name of the file, which may be that of a real module.
    module = types.ModuleType(f"agent:{Path(code.co_filename).stem}")
    vars(module).update(names)
    module.__file__ = code.co_filename
    # Dataclasses look their module up by name.
    sys.modules[module.__name__] = module
    if folder is not None:
        sys.path.insert(0, folder)
    try:
        exec(code, vars(module))
        yield module
    finally:
        if folder in sys.path:
            sys.path.remove(folder)
        if sys.modules.get(module.__name__) is module:
            del sys.modules[module.__name__]
