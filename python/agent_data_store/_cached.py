"""The decorator `cached`."""

from __future__ import annotations

import functools
import inspect
import json
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from agent_data_store._errors import DataStoreError, InvalidArgumentError
from agent_data_store._native import to_json

if TYPE_CHECKING:
    from agent_data_store._native import DataStore

Key = Callable[..., str] | str | None

# Leaves room for a reader, and for the prefix of the lock that is held while computing.
_LONGEST_KEY = 500


def cached(
    data_store: DataStore, *, ttl: float | timedelta | None, key: Key
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator for functions and coroutine functions; see `DataStore.cached`."""
    if not (key is None or isinstance(key, str) or callable(key)):
        raise TypeError(f"key is {type(key).__name__}, not str or a function")

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        make_key = key if callable(key) else _key_maker(function, key)

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def wait(*args: Any, **kwargs: Any) -> Any:
                compute = functools.partial(function, *args, **kwargs)
                return await data_store.aio.get_or_compute(make_key(*args, **kwargs), compute, ttl=ttl)

            return wait

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            compute = functools.partial(function, *args, **kwargs)
            return data_store.get_or_compute(make_key(*args, **kwargs), compute, ttl=ttl)

        return call

    return decorate


def _key_maker(function: Callable[..., Any], prefix: str | None) -> Callable[..., str]:
    """Makes keys from arguments."""
    name = _name(function) if prefix is None else prefix
    signature = inspect.signature(function)
    kinds = {parameter.kind for parameter in signature.parameters.values()}
    # Only positional arguments, and all of them: nothing to fill in.
    plain = len(signature.parameters) if kinds <= {inspect.Parameter.POSITIONAL_OR_KEYWORD} else None

    def make_key(*args: Any, **kwargs: Any) -> str:
        if kwargs or len(args) != plain:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            args, kwargs = bound.args, bound.kwargs
        try:
            arguments = _canonical(list(args)) + (_canonical(kwargs) if kwargs else "")
        except DataStoreError as error:
            message = f"the arguments of {name} make no key: {error}; or give `cached` a function that makes one as key"
            raise type(error)(message) from None
        key = f"{name}:{arguments}"
        if len(key.encode()) > _LONGEST_KEY:
            from hashlib import sha256

            key = f"{name}:{sha256(arguments.encode()).hexdigest()}"
        return key

    return make_key


def _canonical(arguments: object) -> str:
    """JSON text that is the same for equal dicts."""
    text = to_json(arguments, "arguments")
    if "{" in text:
        text = json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return text


def _name(function: Callable[..., Any]) -> str:
    name = getattr(function, "__qualname__", None)
    if name is None or name.endswith("<lambda>"):
        raise InvalidArgumentError("a function without a name makes no key: give `cached` one as key")
    module = function.__module__
    if module == "__main__":
        # The same name for every program: scripts that share a namespace would get each other's results.
        main = sys.modules["__main__"]
        spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
        if spec is not None:
            module = spec.name
        elif file is not None:
            from pathlib import Path

            module = Path(file).stem
    return f"{module}.{name}"
