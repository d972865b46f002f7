"""The race-free building blocks as coroutines."""

from __future__ import annotations

import asyncio
import inspect
import itertools
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar, overload
from weakref import WeakKeyDictionary

from agent_data_store._errors import InvalidArgumentError
from agent_data_store._threads import begin_in_thread, completed, in_thread

if TYPE_CHECKING:
    from datetime import datetime
    from types import TracebackType
    from typing import ParamSpec

    from agent_data_store._model import Change, TaskSummary
    from agent_data_store._native import Call, Claim, DataStore, Lease, Transaction, Watch

    _P = ParamSpec("_P")

_T = TypeVar("_T")
_MISSING = object()

# The id of a task may be given to another one after its end, a number is not.
_numbers = itertools.count()
_task_numbers: WeakKeyDictionary[asyncio.Task[Any], int] = WeakKeyDictionary()


def _task_number() -> int:
    task = asyncio.current_task()
    assert task is not None
    number = _task_numbers.get(task)
    if number is None:
        number = _task_numbers[task] = next(_numbers) % 2**31
    return number


class AsyncBuildingBlocks:
    """The part of `AsyncDataStore` that replaces reading, changing and writing back."""

    __slots__ = ("_sync",)

    def __init__(self, data_store: DataStore) -> None:
        self._sync = data_store

    async def increment(self, key: str, by: float = 1, *, ttl: float | timedelta | None = None) -> int | float:
        """Adds the number `by` to the one under `key` and returns the sum; a missing key counts as 0."""

        def increment() -> int | float:
            return self._sync.increment(key, by, ttl=ttl)

        return await in_thread(increment)

    async def append(
        self,
        key: str,
        item: Any,
        *,
        unique: bool = False,
        max_length: int | None = None,
        ttl: float | timedelta | None = None,
    ) -> int:
        """Appends `item` to the list under `key` and returns its new length; a missing key counts as an empty list."""
        call = self._sync._start_append(key, item, unique=unique, max_length=max_length, ttl=ttl)
        length: int = await completed(call)
        return length

    async def extend(
        self,
        key: str,
        items: Iterable[Any],
        *,
        unique: bool = False,
        max_length: int | None = None,
        ttl: float | timedelta | None = None,
    ) -> int:
        """Appends all `items`, a list or another iterable, in one step; returns the new length of the list."""
        call = self._sync._start_extend(key, items, unique=unique, max_length=max_length, ttl=ttl)
        length: int = await completed(call)
        return length

    async def merge(self, key: str, patch: Any, *, ttl: float | timedelta | None = None) -> Any:
        """Changes parts of the value under `key` and returns the new value; a missing key counts as absent."""
        return await completed(self._sync._start_merge(key, patch, ttl=ttl))

    async def update(
        self,
        key: str,
        function: Callable[[Any], Any],
        default: Any = None,
        *,
        ttl: float | timedelta | None = None,
    ) -> Any:
        """Replaces the value under `key` by what `function`, plain or a coroutine function, returns for it."""
        _check_function(function)
        return await completed(self._sync._start_update(key, default, ttl=ttl), function)

    async def expire(self, key: str, ttl: float | timedelta | None) -> bool:
        """Has the record under `key` expire `ttl` from now, in seconds or as a `timedelta`, or never for `None`."""
        return await in_thread(self._sync.expire, key, ttl)

    @overload
    async def get_or_compute(
        self, key: str, function: Callable[[], Awaitable[_T]], *, ttl: float | timedelta | None = None
    ) -> _T: ...

    @overload
    async def get_or_compute(
        self, key: str, function: Callable[[], _T], *, ttl: float | timedelta | None = None
    ) -> _T: ...

    async def get_or_compute(
        self, key: str, function: Callable[[], Any], *, ttl: float | timedelta | None = None
    ) -> Any:
        """The value under `key`; where there is none, what `function`, plain or a coroutine function, returns."""
        # A hit costs as much as in `get`.
        if self._sync._is_inline and callable(function):
            hit = self._sync.get(key, _MISSING)
            if hit is not _MISSING:
                return hit
        _check_function(function)
        return await completed(self._sync._start_get_or_compute(key, ttl, _task_number()), function)

    def cached(
        self, *, ttl: float | timedelta | None = None, key: Callable[..., str] | str | None = None
    ) -> Callable[[Callable[_P, Coroutine[Any, Any, _T]]], Callable[_P, Coroutine[Any, Any, _T]]]:
        """A decorator that keeps the results of a coroutine function; see `DataStore.cached`."""
        decorate = self._sync.cached(ttl=ttl, key=key)

        def decorate_coroutine(
            function: Callable[_P, Coroutine[Any, Any, _T]],
        ) -> Callable[_P, Coroutine[Any, Any, _T]]:
            if not inspect.iscoroutinefunction(function):
                raise TypeError("a plain function would stop the event loop: use the `cached` of the DataStore for it")
            return decorate(function)

        return decorate_coroutine

    async def claim(
        self,
        prefix: str,
        ttl: float | timedelta,
        *,
        wait: float | timedelta | None = 0,
        max_attempts: int | None = None,
    ) -> AsyncClaim | None:
        """Claims the first task under `prefix` that nobody else has; `None` where there is none."""
        claim = await completed(self._sync._start_claim(prefix, ttl, wait, max_attempts))
        return None if claim is None else AsyncClaim(claim)

    async def tasks(self, prefix: str | None = None) -> TaskSummary:
        """Sums up the tasks whose key starts with `prefix`. Reads every task that is not done."""
        return await in_thread(self._sync.tasks, prefix)

    async def wait_for(
        self,
        key: str,
        *,
        timeout: float | timedelta | None = None,
        predicate: Callable[[Any], Any] | None = None,
        since_version: int | None = None,
    ) -> Any:
        """Waits until there is a value under `key` that `predicate`, plain or a coroutine function, accepts."""
        if predicate is not None and not callable(predicate):
            raise TypeError(f"predicate is {type(predicate).__name__}, not a function")
        return await completed(
            self._sync._start_wait_for(key, timeout, predicate is not None, since_version), predicate
        )

    async def changes(self, since: int = 0, limit: int = 1000) -> list[Change]:
        """The user's changes in all namespaces after the position `since`, oldest first, at most `limit`."""
        return await in_thread(self._sync.changes, since, limit)

    def watch(
        self,
        prefix: str | None = None,
        *,
        since: int | None = None,
        timeout: float | timedelta | None = None,
    ) -> AsyncWatch:
        """An asynchronous iterator over the changes of this namespace whose key starts with `prefix`."""

        def begin() -> Watch:
            return self._sync.watch(prefix, since=since, timeout=timeout)

        return AsyncWatch(begin() if self._sync._is_inline else begin)

    def transaction(self) -> AsyncTransaction:
        """Begins a transaction: `async with data_store.aio.transaction() as tx:`, see `AsyncTransaction`."""
        return AsyncTransaction(self._sync.transaction())

    async def transact(self, function: Callable[[AsyncTransaction], Awaitable[_T]]) -> _T:
        """Awaits `function` with an `AsyncTransaction`, commits it and returns the result; all again on a conflict."""
        _check_function(function)

        def body(transaction: Transaction) -> Awaitable[_T]:
            result = function(AsyncTransaction(transaction))
            if not inspect.isawaitable(result):
                raise TypeError("the function is no coroutine function: give one, as the verbs of the transaction are")
            return result

        result: _T = await completed(self._sync._start_transact(), body)
        return result

    def lock(self, resource: str, ttl: float | timedelta = 300, wait: float | timedelta | None = 0) -> AsyncLease:
        """The lock on `resource`, taken by `async with` or `await`: `async with data_store.aio.lock("printer"):`."""
        return AsyncLease(self._sync, resource, ttl, wait)


class AsyncTransaction:
    """A `Transaction` with coroutines for verbs; from `AsyncDataStore.transaction` and `transact`.

    Arguments, results and errors are those of the same verb there; `set` and `use_namespace` need no waiting.
    """

    __slots__ = ("_sync",)

    def __init__(self, transaction: Transaction) -> None:
        self._sync = transaction

    async def get(self, key: str, default: Any = None) -> Any:
        """The value under `key`, or `default` where there is none, as of this transaction. Counts as a read."""
        return await self._read(lambda: self._sync.get(key, default))

    async def set(
        self,
        key: str,
        value: Any,
        metadata: dict[str, Any] | None = None,
        *,
        ttl: float | timedelta | None = None,
        if_version: int | None = None,
    ) -> None:
        """Stores `value` under `key` when the transaction is committed."""
        self._sync.set(key, value, metadata, ttl=ttl, if_version=if_version)

    async def delete(self, key: str) -> bool:
        """Removes the record under `key` when the transaction is committed; `True` if there is a live one."""
        return await self._read(lambda: self._sync.delete(key))

    async def increment(self, key: str, by: float = 1, *, ttl: float | timedelta | None = None) -> int | float:
        """As `DataStore.increment`, when the transaction is committed."""
        return await self._read(lambda: self._sync.increment(key, by, ttl=ttl))

    async def append(
        self,
        key: str,
        item: Any,
        *,
        unique: bool = False,
        max_length: int | None = None,
        ttl: float | timedelta | None = None,
    ) -> int:
        """As `DataStore.append`, when the transaction is committed."""
        return await self._read(lambda: self._sync.append(key, item, unique=unique, max_length=max_length, ttl=ttl))

    async def extend(
        self,
        key: str,
        items: Iterable[Any],
        *,
        unique: bool = False,
        max_length: int | None = None,
        ttl: float | timedelta | None = None,
    ) -> int:
        """As `DataStore.extend`, when the transaction is committed."""
        return await self._read(lambda: self._sync.extend(key, items, unique=unique, max_length=max_length, ttl=ttl))

    async def merge(self, key: str, patch: Any, *, ttl: float | timedelta | None = None) -> Any:
        """As `DataStore.merge`, when the transaction is committed."""
        return await self._read(lambda: self._sync.merge(key, patch, ttl=ttl))

    def use_namespace(self, namespace: str) -> AsyncTransaction:
        """The same transaction in another namespace."""
        return AsyncTransaction(self._sync.use_namespace(namespace))

    @property
    def namespace(self) -> str:
        """The namespace of this object."""
        return self._sync.namespace

    def __repr__(self) -> str:
        return f"Async{self._sync!r}"

    async def _read(self, function: Callable[[], _T]) -> _T:
        """What is written is kept back: only reading may need a thread."""
        if self._sync._is_inline:
            return function()
        return await in_thread(function)

    async def __aenter__(self) -> AsyncTransaction:
        self._sync._begin()
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exception is None:
            await in_thread(self._sync._commit)
        else:
            self._sync._roll_back()


class AsyncLease:
    """A lock, from `AsyncDataStore.lock`: `async with` takes and releases it, `await` takes it.

    Otherwise as `Lease`; the task that takes it counts as its holder.
    """

    __slots__ = ("_data_store", "_lease", "_resource", "_ttl", "_wait")

    def __init__(
        self, data_store: DataStore, resource: str, ttl: float | timedelta, wait: float | timedelta | None
    ) -> None:
        self._data_store = data_store
        self._resource = resource
        self._ttl = ttl
        self._wait = wait
        self._lease: Lease | None = None

    @property
    def resource(self) -> str:
        """What is locked."""
        return self._resource

    @property
    def token(self) -> int:
        """The fencing token: greater than that of every earlier holder of the lock."""
        return self._taken().token

    @property
    def is_held(self) -> bool:
        """Whether the lock is still held, as far as the last renewal could tell. Asks nobody."""
        return self._lease is not None and self._lease.is_held

    async def renew(self) -> None:
        """Holds the lock for another `ttl` from now. The background does so too; this tells whether it succeeds."""
        await completed(self._taken()._start_renew())

    async def release(self) -> None:
        """Gives the lock back; releasing twice does nothing."""
        await completed(self._taken()._start_release())

    def _taken(self) -> Lease:
        if self._lease is None:
            raise InvalidArgumentError(f"the lock {self._resource!r} is not taken: use `async with`, or await it")
        return self._lease

    async def _take(self) -> AsyncLease:
        if self._lease is not None:
            raise InvalidArgumentError(f"the lock {self._resource!r} was taken with this object: make another one")
        self._lease = await completed(
            self._data_store._start_lock(self._resource, self._ttl, self._wait, _task_number())
        )
        return self

    def __await__(self) -> Generator[Any, None, AsyncLease]:
        return self._take().__await__()

    async def __aenter__(self) -> AsyncLease:
        if self._lease is None:
            await self._take()
        self._taken().__enter__()
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self.release()
        except asyncio.CancelledError:
            # Whoever still has this object would otherwise hold the lock.
            begin_in_thread(self._taken().release)
            raise
        except Exception:
            # What the block has raised says more; the lease ends by itself.
            if exception is None:
                raise

    def __repr__(self) -> str:
        return f"AsyncLease(resource={self._resource!r}, is_held={self.is_held})"


class AsyncClaim:
    """A `Claim` with coroutines for verbs, from `AsyncDataStore.claim`; for `async with`."""

    __slots__ = ("_sync",)

    def __init__(self, claim: Claim) -> None:
        self._sync = claim

    @property
    def key(self) -> str:
        """The key of the task."""
        return self._sync.key

    @property
    def value(self) -> Any:
        """Its value when it was claimed."""
        return self._sync.value

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1."""
        return self._sync.attempt

    @property
    def until(self) -> datetime | None:
        """When the task goes back to the others, as an aware time in UTC."""
        return self._sync.until

    @property
    def last_error(self) -> str | None:
        """Why the attempt before this one failed, where it has said so."""
        return self._sync.last_error

    async def complete(self, result: Any = None) -> None:
        """Takes the task out of the work and keeps `result`, in one step."""
        await completed(self._sync._start_complete(result))

    async def fail(self, error: str | BaseException, retry_in: float | timedelta | None = None) -> None:
        """Gives the task back for another attempt after a pause of `retry_in`, or with `None` sets it aside."""
        await completed(self._sync._start_fail(error, retry_in))

    async def release(self) -> None:
        """Gives the task back at once, as if it had not been claimed: the attempt does not count."""
        await completed(self._sync._start_release())

    async def renew(self, ttl: float | timedelta) -> None:
        """Keeps the task for another `ttl` from now, in seconds or as a `timedelta`."""
        await completed(self._sync._start_renew(ttl))

    async def __aenter__(self) -> AsyncClaim:
        self._sync.__enter__()
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        call = self._sync._start_exit(exception)
        if call is not None:
            try:
                await completed(call)
            except Exception:
                # What the block has raised says more; the task goes back by itself.
                if exception is None:
                    raise

    def __repr__(self) -> str:
        return f"Async{self._sync!r}"


class AsyncWatch:
    """The changes of a namespace as they come, from `AsyncDataStore.watch`; otherwise as `Watch`."""

    __slots__ = ("_left", "_watch")

    def __init__(self, watch: Watch | Callable[[], Watch]) -> None:
        self._watch = watch
        self._left: Call | None = None

    @property
    def position(self) -> int:
        """The position after the last change that was returned or passed over, for `watch(since=…)` to resume from."""
        return self._begun().position

    def _begun(self) -> Watch:
        # Only a store that may keep the event loop waiting is asked later for the present position.
        if callable(self._watch):
            raise InvalidArgumentError("the watch has no position before its first step: iterate first")
        return self._watch

    def __aiter__(self) -> AsyncWatch:
        return self

    async def __anext__(self) -> Change:
        if callable(self._watch):
            self._watch = await in_thread(self._watch)
        if self._left is not None:
            # The step before was cancelled: it has to end before another one begins.
            await in_thread(self._left.cancel)
            self._left = None
        call = self._watch._start_next()
        try:
            change: Change | None = await completed(call)
        except (asyncio.CancelledError, GeneratorExit):
            self._left = call
            raise
        if change is None:
            raise StopAsyncIteration
        return change

    def __repr__(self) -> str:
        return "AsyncWatch()" if callable(self._watch) else f"Async{self._watch!r}"


def _check_function(function: Any) -> None:
    if not callable(function):
        raise TypeError(f"function is {type(function).__name__}, not a function")
