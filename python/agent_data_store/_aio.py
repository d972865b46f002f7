"""The verbs as coroutines.

A short read on an engine that answers at once is done in place: handing it to a thread would cost many times as much.
Everything that may wait for a disk, a lock or a network goes to other threads, so that the event loop never does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from agent_data_store._aio_blocks import AsyncBuildingBlocks
from agent_data_store._threads import in_thread as _in_thread

if TYPE_CHECKING:
    from agent_data_store._model import NamespaceStats, Record
    from agent_data_store._native import Items


class AsyncDataStore(AsyncBuildingBlocks):
    """The verbs of a `DataStore` as coroutines; `data_store.aio` makes one.

    `use_namespace`, `items`, `watch`, `transaction` and `lock` are not awaited themselves, but what they return is for
    `async for` and `async with`.

    Arguments, results and errors are those of the same verb there. What is written is taken from the value when the
    coroutine starts. A write whose task is cancelled may still be made.
    """

    __slots__ = ()

    @property
    def user(self) -> str:
        """The owner of the records."""
        return self._sync.user

    @property
    def agent(self) -> str | None:
        """The agent that reads and writes."""
        return self._sync.agent

    @property
    def namespace(self) -> str:
        """The namespace of this object."""
        return self._sync.namespace

    async def get(self, key: str, default: Any = None) -> Any:
        """The value under `key`, or `default` where there is none."""
        if self._sync._is_inline:
            return self._sync.get(key, default)
        return await _in_thread(self._sync.get, key, default)

    async def set(
        self,
        key: str,
        value: Any,
        metadata: dict[str, Any] | None = None,
        *,
        ttl: float | timedelta | None = None,
        if_version: int | None = None,
    ) -> None:
        """Stores `value` under `key`, replacing what is there."""
        await _in_thread(self._sync._prepare_set(key, value, metadata, ttl=ttl, if_version=if_version).run)

    async def delete(self, key: str) -> bool:
        """Removes the record under `key`; `True` if a live one was there."""
        return await _in_thread(self._sync.delete, key)

    async def list_keys(self, prefix: str | None = None) -> list[str]:
        """All keys that start with `prefix`, sorted by code point; never cut short."""
        return await _in_thread(self._sync.list_keys, prefix)

    async def list_namespaces(self, prefix: str | None = None) -> list[str]:
        """The user's namespaces that start with `prefix` and hold a live record, sorted by code point."""
        return await _in_thread(self._sync.list_namespaces, prefix)

    def use_namespace(
        self, namespace: str, *, secrets: Literal["allow", "warn", "refuse"] | None = None
    ) -> AsyncDataStore:
        """The same store, user and agent in another namespace; this object is unchanged."""
        return AsyncDataStore(self._sync.use_namespace(namespace, secrets=secrets))

    async def get_all(self) -> dict[str, Any]:
        """All records of the namespace as `{key: value}`, sorted by key; one consistent snapshot."""
        return await _in_thread(self._sync.get_all)

    async def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """The records under `keys` as `{key: value}` in that order, missing ones left out; one consistent snapshot."""
        return await _in_thread(self._sync.get_many, keys if isinstance(keys, str) else list(keys))

    async def set_many(
        self,
        items: Mapping[str, Any] | Iterable[tuple[str, Any]],
        metadata: dict[str, Any] | None = None,
        *,
        ttl: float | timedelta | None = None,
    ) -> int:
        """Stores all `items`, a dict or an iterable of (key, value), or none; returns how many."""
        return await _in_thread(self._sync._prepare_set_many(items, metadata, ttl=ttl).run) or 0

    async def delete_many(self, keys: Iterable[str]) -> int:
        """Removes the records under `keys`, all together; returns how many live ones there were."""
        return await _in_thread(self._sync.delete_many, keys if isinstance(keys, str) else list(keys))

    async def clear(self) -> int:
        """Removes every record of the namespace; returns how many live ones there were."""
        return await _in_thread(self._sync.clear)

    async def get_record(self, key: str) -> Record | None:
        """The whole record under `key` with its bookkeeping, or `None`."""
        if self._sync._is_inline:
            return self._sync.get_record(key)
        return await _in_thread(self._sync.get_record, key)

    def items(self, prefix: str | None = None, *, page_size: int = 1000) -> AsyncItems:
        """An asynchronous iterator over (key, value), sorted by key, that never holds the whole namespace."""
        return AsyncItems(self._sync.items(prefix, page_size=page_size))

    async def count(self, prefix: str | None = None) -> int:
        """How many live records have a key that starts with `prefix`."""
        return await _in_thread(self._sync.count, prefix)

    async def namespaces(self) -> list[NamespaceStats]:
        """Statistics of each of the user's namespaces that hold a live record, sorted by name."""
        return await _in_thread(self._sync.namespaces)

    async def close(self) -> None:
        """Writes what is gathered in memory, releases locks, and lets go of the store, also for all objects on it."""
        await _in_thread(self._sync.close)

    async def __aenter__(self) -> AsyncDataStore:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"Async{self._sync!r}"


class AsyncItems:
    """An asynchronous iterator over (key, value), from `AsyncDataStore.items`."""

    __slots__ = ("_items",)

    def __init__(self, items: Items) -> None:
        self._items = items

    def __aiter__(self) -> AsyncItems:
        return self

    async def __anext__(self) -> tuple[str, Any]:
        while (pair := self._items._take()) is None:
            if not await _in_thread(self._items._fetch):
                raise StopAsyncIteration
        return pair
