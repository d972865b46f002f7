from collections.abc import Iterable, Mapping
from datetime import timedelta
from types import TracebackType
from typing import Any, final

from agent_data_store._aio import AsyncDataStore
from agent_data_store._model import NamespaceStats, Record

__all__ = [
    "DataStore",
    "Items",
    "PreparedWrite",
    "__version__",
    "after_fork",
    "before_fork",
    "close_all",
    "connect",
    "from_json",
    "run_program",
    "to_json",
]

__version__: str

@final
class DataStore:
    """A user's records in one namespace, as one agent reads and writes them.

    Made by `connect`; agents find one as `data_store`. Synchronous, and safe to share between threads; `aio`
    has the same verbs as coroutines. After a `fork`, parent and child both go on using it.

    A key is 1 to 1,024 bytes of UTF-8 without NUL. A value is what `json.dumps` takes, at most 16 MiB as JSON
    text and nested at most 128 deep; tuples come back as lists, and dict keys of type int, float, bool and None
    as strings.

    Every verb may raise `InvalidArgumentError` (a name outside of the limits, a closed store),
    `UnavailableError` (the store is busy past its deadline, the disk is full) and `CorruptStoreError`; only
    further errors are named at the verbs.
    """

    def get(self, key: str, default: Any = None) -> Any:
        """The value under `key`, or `default` where there is none.

        A stored `None` comes back as `None`, not as `default`. Counts as a read of the record.
        """
    def set(
        self,
        key: str,
        value: Any,
        metadata: dict[str, Any] | None = None,
        *,
        ttl: float | timedelta | None = None,
        if_version: int | None = None,
    ) -> None:
        """Stores `value` under `key`, replacing what is there.

        `metadata`: a dict of at most 64 KiB as JSON, merged key by key into what is there; `None` or `{}` leaves
        it. `ttl`: how long the record lives, in seconds or as a `timedelta`; without it, until it is deleted, also
        where the record had an expiry before. `if_version`: write only if the record has this version, 0 for "only
        if absent".

        Raises `NotSerializableError` (a `TypeError`) for a value that JSON cannot hold, `InvalidArgumentError` (a
        `ValueError`) for NaN, infinities, lone surrogates and circles, `TooLargeError` above a limit,
        `ConflictError` where `if_version` does not hold. Nothing is stored then.
        """
    def delete(self, key: str) -> bool:
        """Removes the record under `key`; `True` if a live one was there."""
    def list_keys(self, prefix: str | None = None) -> list[str]:
        """All keys that start with `prefix`, sorted by code point; never cut short."""
    def list_namespaces(self, prefix: str | None = None) -> list[str]:
        """The user's namespaces that start with `prefix` and hold a live record, sorted by code point."""
    def use_namespace(self, namespace: str) -> DataStore:
        """The same store, user and agent in another namespace; this object is unchanged.

        A namespace is 1 to 512 bytes of UTF-8 without NUL. It needs no creating: it exists while it holds a record.
        """
    def get_all(self) -> dict[str, Any]:
        """All records of the namespace as `{key: value}`, sorted by key; one consistent snapshot.

        Counts as a read of each. Holds the whole namespace in memory; `items` does not.
        """
    def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """The records under `keys` as `{key: value}` in that order, missing ones left out; one consistent snapshot.

        Counts as a read of each. Raises `TooLargeError` for more than 100,000 keys.
        """
    def set_many(
        self,
        items: Mapping[str, Any] | Iterable[tuple[str, Any]],
        metadata: dict[str, Any] | None = None,
        *,
        ttl: float | timedelta | None = None,
    ) -> int:
        """Stores all `items`, a dict or an iterable of (key, value), or none; returns how many.

        `metadata` and `ttl` are as in `set` and apply to each. Raises what `set` raises, and `TooLargeError` for
        more than 100,000 items.
        """
    def delete_many(self, keys: Iterable[str]) -> int:
        """Removes the records under `keys`, all together; returns how many live ones there were.

        Raises `TooLargeError` for more than 100,000 keys.
        """
    def clear(self) -> int:
        """Removes every record of the namespace; returns how many live ones there were.

        Takes the same time however many they are.
        """
    def get_record(self, key: str) -> Record | None:
        """The whole record under `key` with its bookkeeping, or `None`. Counts as a read of it."""
    def items(self, prefix: str | None = None, *, page_size: int = 1000) -> Items:
        """An iterator over (key, value), sorted by key, of the records whose key starts with `prefix`.

        Reads pages of at most `page_size` records and 1 MiB of text, so it never holds the whole namespace. Each
        page is a snapshot of its own: a record that is written meanwhile may be seen in its old or its new state.
        Counts as a read of each.
        """
    def count(self, prefix: str | None = None) -> int:
        """How many live records have a key that starts with `prefix`."""
    def namespaces(self) -> list[NamespaceStats]:
        """Statistics of each of the user's namespaces that hold a live record, sorted by name.

        Takes no reading of records.
        """
    @property
    def aio(self) -> AsyncDataStore:
        """The same verbs as coroutines: an `AsyncDataStore`."""
    @property
    def user(self) -> str:
        """The owner of the records."""
    @property
    def agent(self) -> str | None:
        """The agent that reads and writes."""
    @property
    def namespace(self) -> str:
        """The namespace of this object."""
    def close(self) -> None:
        """Writes what is gathered in memory and lets go of the store, also for all objects made by `use_namespace`.

        Later calls raise `InvalidArgumentError`; closing twice does nothing. Happens by itself when the last of
        these objects goes, and when the interpreter exits.
        """
    def __enter__(self) -> DataStore: ...
    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
    @property
    def _is_inline(self) -> bool:
        """Whether the engine answers on the calling thread, so that a short read needs no other one."""
    def _prepare_set(
        self,
        key: str,
        value: Any,
        metadata: dict[str, Any] | None = None,
        *,
        ttl: float | timedelta | None = None,
        if_version: int | None = None,
    ) -> PreparedWrite: ...
    def _prepare_set_many(
        self,
        items: Mapping[str, Any] | Iterable[tuple[str, Any]],
        metadata: dict[str, Any] | None = None,
        *,
        ttl: float | timedelta | None = None,
    ) -> PreparedWrite: ...

@final
class Items:
    """An iterator over (key, value) in the order of the keys, from `DataStore.items`."""

    def __iter__(self) -> Items: ...
    def __next__(self) -> tuple[str, Any]: ...
    def _fetch(self) -> bool:
        """Reads the next page if none is at hand; `False` at the end. The part of `__next__` that may wait."""
    def _take(self) -> tuple[str, Any] | None:
        """The next pair of the page at hand, or `None` after its last."""

@final
class PreparedWrite:
    """A write that is checked and encoded, and waits to be made: the part that may be left to another thread."""

    def run(self) -> int | None: ...

def connect(
    url: str | None = None,
    *,
    user: str | None = None,
    agent: str | None = None,
    namespace: str | None = None,
    token: str | None = None,
) -> DataStore:
    """Opens a store and returns an agent's view of it.

    `url`: `sqlite:///absolute/path.db` (with `?durability=relaxed`, the last moments before a power cut may be
    lost) or `memory:`; left out, the environment's `AGENT_DATA_STORE_URL`, else one file in the platform's data
    folder. `user`, `agent` and `namespace` that are left out come from `AGENT_DATA_STORE_USER`, `_AGENT` and
    `_NAMESPACE`, else they are "default", "unknown" and "default". `user` and `agent` are 1 to 256 bytes of
    UTF-8 without NUL. `token` is for a server; a store in a file or in memory takes none.

    The result is a context manager that closes the store. Raises `InvalidArgumentError` for a URL or a name
    that cannot be, `CorruptStoreError` for a file that is damaged, not a store or newer than this version, and
    `UnavailableError` where the store cannot be reached; a file is then untouched.
    """

def run_program(arguments: list[str]) -> int:
    """Runs `ads`, the program's name first among `arguments`, and returns its exit code."""

def to_json(value: Any, what: str = "value") -> str:
    """The compact JSON text of `value`; raises what `set` would raise, with `what` as its name."""

def from_json(text: str) -> Any:
    """The object that JSON text describes, as `get` returns it."""

def before_fork() -> None: ...
def after_fork() -> None: ...
def close_all() -> None: ...
