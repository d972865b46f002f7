from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Literal, ParamSpec, TypeVar, final

from agent_data_store._aio import AsyncDataStore
from agent_data_store._model import Change, NamespaceStats, Record, TaskSummary

__all__ = [
    "Call",
    "Claim",
    "DataStore",
    "Items",
    "Lease",
    "PreparedWrite",
    "Transaction",
    "Watch",
    "__version__",
    "after_fork",
    "before_fork",
    "close_all",
    "connect",
    "found_secrets",
    "from_json",
    "holds_secret",
    "keep_found_secrets",
    "run_program",
    "to_json",
]

__version__: str

_P = ParamSpec("_P")
_T = TypeVar("_T")

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
    def use_namespace(self, namespace: str, *, secrets: Literal["allow", "warn", "refuse"] | None = None) -> DataStore:
        """The same store, user and agent in another namespace; this object is unchanged.

        A namespace is 1 to 512 bytes of UTF-8 without NUL. It needs no creating: it exists while it holds a record.

        `secrets`: what becomes of a write that seems to hold a credential, such as an API key. `"allow"` stores it,
        `"warn"` stores it and issues a `SecretsWarning`, `"refuse"` raises `InvalidArgumentError`. Left out, it stays
        as with this object; the first one has the policy in the URL of the store, `?secrets=…`, else `"warn"`. It
        holds for what is written with the new object, and those that are made from it.
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
    def increment(self, key: str, by: float = 1, *, ttl: float | timedelta | None = None) -> int | float:
        """Adds the number `by` to the one under `key` and returns the sum; a missing key counts as 0.

        Atomic across threads and processes. Integers of any size stay exact; with a float on either side the sum is
        one. `ttl`: how long the record lives from now on, in seconds or as a `timedelta`; without it, its expiry stays.

        Raises `InvalidArgumentError` where the stored value is not a number or the sum is too large for a float.
        """
    def append(
        self,
        key: str,
        item: Any,
        *,
        unique: bool = False,
        max_length: int | None = None,
        ttl: float | timedelta | None = None,
    ) -> int:
        """Appends `item` to the list under `key` and returns its new length; a missing key counts as an empty list.

        Atomic across threads and processes. `unique`: does nothing if the list holds the item already, compared as
        JSON values. `max_length`: drops the oldest items above it. `ttl` is as in `increment`.

        Raises what `set` raises for an item, `InvalidArgumentError` where the stored value is not a list, and
        `TooLargeError` where the list outgrows the limit of a value.
        """
    def extend(
        self,
        key: str,
        items: Iterable[Any],
        *,
        unique: bool = False,
        max_length: int | None = None,
        ttl: float | timedelta | None = None,
    ) -> int:
        """Appends all `items`, a list or another iterable, in one step; returns the new length of the list.

        Otherwise as `append`.
        """
    def merge(self, key: str, patch: Any, *, ttl: float | timedelta | None = None) -> Any:
        """Changes parts of the value under `key` and returns the new value; a missing key counts as absent.

        Atomic across threads and processes. `patch` is a JSON Merge Patch (RFC 7396): its members replace those of
        the same name, dicts are merged into dicts at any depth, and `None` removes a member. `ttl` is as in
        `increment`.

        Raises what `set` raises for `patch`, and `TooLargeError` where the value outgrows its limit.
        """
    def update(
        self,
        key: str,
        function: Callable[[Any], Any],
        default: Any = None,
        *,
        ttl: float | timedelta | None = None,
    ) -> Any:
        """Replaces the value under `key` by what `function` returns for it; returns the new value.

        `function` gets an object of its own, which it may change and return; where there is no record, one like
        `default`. Where somebody else writes in between it is called again, on what they wrote, so it should have no
        other effect. What it raises is passed on, and nothing is stored. `ttl`: as in `set`; without it an earlier
        expiry is removed.

        Raises what `set` raises for the new value and for `default`.
        """
    def expire(self, key: str, ttl: float | timedelta | None) -> bool:
        """Has the record under `key` expire `ttl` from now, in seconds or as a `timedelta`, or never for `None`.

        Returns whether there is a live one.
        """
    def transaction(self) -> Transaction:
        """Begins a transaction: `with data_store.transaction() as tx:`, see `Transaction`."""
    def transact(self, function: Callable[[Transaction], _T]) -> _T:
        """Calls `function` with a `Transaction`, commits it and returns what `function` returns.

        Where somebody else writes in between, all of it happens again, so `function` should have no other effect.
        What it raises is passed on, and nothing is stored. Raises `ConflictError` after 64 attempts.
        """
    def lock(self, resource: str, ttl: float | timedelta = 300, wait: float | timedelta | None = 0) -> Lease:
        """Takes the lock on `resource`: `with data_store.lock("printer") as lease:`.

        `ttl`: how long it is held unless renewed, in seconds or as a `timedelta`. A thread renews it in the background,
        so this is how long others wait if this process dies. `wait`: how long to wait for the lock; 0 for not at all,
        `None` for as long as it takes.

        The lock is the record `lock:{resource}` of this namespace, with the agent and the time in its value. One that
        was written there by hand, with the time as `datetime.now().isoformat()` in `acquired_at`, counts for 300
        seconds.

        Raises `LeaseHeldError` where somebody else holds it, and `InvalidArgumentError` where this thread does (in
        `aio`: this task), because locks are not re-entrant. The end of the block raises `LeaseLostError` where the
        lock was lost meanwhile, unless the block itself raises.
        """
    def get_or_compute(self, key: str, function: Callable[[], _T], *, ttl: float | timedelta | None = None) -> _T:
        """The value under `key`; where there is none, what `function()` returns, which is stored for `ttl`.

        Among all threads, coroutines and processes one calls its `function`, and the others wait for the value. Where
        the process of that one dies, another one takes over after 10 seconds. What `function` raises is passed on to
        its caller, nothing is stored, and another caller computes. `None` is a value like others. `ttl` is in seconds
        or a `timedelta`; without it the value stays until it is deleted.

        `key` has at most 1,011 bytes. Raises what `set` raises for the value, and `InvalidArgumentError` where
        `function` asks for the key that it computes.
        """
    def cached(
        self, *, ttl: float | timedelta | None = None, key: Callable[..., str] | str | None = None
    ) -> Callable[[Callable[_P, _T]], Callable[_P, _T]]:
        """A decorator that keeps the results of a function, or a coroutine function, as `get_or_compute` does.

        The key is `{module}.{name}:{arguments}`, with the positional arguments as a JSON list followed by those given
        by keyword alone as a JSON object, for instance `news.fetch:["https://example.org",10]`; where that would be
        longer than 500 bytes, the arguments are replaced by their SHA-256. Defaults are filled in, so it does not
        matter how an argument is passed. The key is the same in every process, and says nothing of variables that the
        function uses from outside. `key` replaces it: text takes the place of `{module}.{name}`, and a function that
        takes the same arguments returns the whole key.

        A call raises `NotSerializableError` or `InvalidArgumentError` for arguments that JSON cannot hold.
        """
    def claim(
        self,
        prefix: str,
        ttl: float | timedelta,
        *,
        wait: float | timedelta | None = 0,
        max_attempts: int | None = None,
    ) -> Claim | None:
        """Claims the first task, in the order of keys, under `prefix` that nobody else has; `None` where there is none.

        Every record whose key starts with `prefix` is a task until somebody has completed it. `ttl`: how long it is
        kept from others unless renewed, in seconds or as a `timedelta`. `wait`: how long to wait for a task; 0 for not
        at all, `None` for as long as it takes. `max_attempts`: a task that was claimed so often without an end is set
        aside as failed instead; without it, it is tried again for ever.

        A completed task moves, with its result, to the namespace `tasks-done:{namespace}`, one that has failed for
        good to `tasks-failed:{namespace}`. A task whose key was completed before is skipped and removed.
        """
    def tasks(self, prefix: str | None = None) -> TaskSummary:
        """Sums up the tasks whose key starts with `prefix`, as a `TaskSummary`. Reads every task that is not done."""
    def wait_for(
        self,
        key: str,
        *,
        timeout: float | timedelta | None = None,
        predicate: Callable[[Any], Any] | None = None,
        since_version: int | None = None,
    ) -> Any:
        """Waits until there is a value under `key`, and returns it.

        `timeout`: how long at most, in seconds or as a `timedelta`; `None` for as long as it takes. `predicate`: called
        with each value, accepts it by returning something true. `since_version`: only a record with a greater version
        counts, so that one can wait for the next write. Changes of this process are seen at once, those of others
        within 50 ms.

        Raises the built-in `TimeoutError` when the time is over. What `predicate` raises is passed on.
        """
    def changes(self, since: int = 0, limit: int = 1000) -> list[Change]:
        """The user's changes in all namespaces after the position `since`, oldest first, at most `limit`, as `Change`s.

        Every committed write, deletion, expiry and clear appears once. To go on, pass the `version` of the last one; 0
        is the beginning. At least the newest 100,000 changes are kept.

        Raises `InvalidArgumentError` for a position so old that changes after it are no longer kept.
        """
    def watch(
        self,
        prefix: str | None = None,
        *,
        since: int | None = None,
        timeout: float | timedelta | None = None,
    ) -> Watch:
        """An iterator over the changes of this namespace whose key starts with `prefix`, waiting for each; see `Watch`.

        `since`: the position to start from, such as that of an earlier `Watch`; without it, changes count from now on.
        `timeout`: ends the iteration when no change has come for so long, in seconds or as a `timedelta`; `None` for
        never.
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
        """Writes what is gathered in memory, releases locks, and lets go of the store, also for all objects made by
        `use_namespace`.

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
    def _start_append(
        self,
        key: str,
        item: Any,
        *,
        unique: bool = False,
        max_length: int | None = None,
        ttl: float | timedelta | None = None,
    ) -> Call: ...
    def _start_extend(
        self,
        key: str,
        items: Iterable[Any],
        *,
        unique: bool = False,
        max_length: int | None = None,
        ttl: float | timedelta | None = None,
    ) -> Call: ...
    def _start_merge(self, key: str, patch: Any, *, ttl: float | timedelta | None = None) -> Call: ...
    def _start_update(self, key: str, default: Any = None, *, ttl: float | timedelta | None = None) -> Call: ...
    def _start_transact(self) -> Call: ...
    def _start_get_or_compute(self, key: str, ttl: float | timedelta | None, task: int) -> Call: ...
    def _start_claim(
        self, prefix: str, ttl: float | timedelta, wait: float | timedelta | None, max_attempts: int | None
    ) -> Call: ...
    def _start_wait_for(
        self, key: str, timeout: float | timedelta | None, has_predicate: bool, since_version: int | None
    ) -> Call: ...
    def _start_lock(self, resource: str, ttl: float | timedelta, wait: float | timedelta | None, task: int) -> Call: ...

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
class Transaction:
    """Reads and writes over several keys and namespaces of a user, all or nothing; from `transaction` and `transact`.

    All reads see one state of the store and the transaction's own writes. Writes are kept back until the end of the
    `with` block; then all are made, if nothing that was read has changed, or none. An exception in the block drops
    them.

    Nothing is locked: where somebody else has written first, a read or the end of the block raises `ConflictError`,
    whose `key` and `namespace` say where. `transact` then tries again by itself.
    """

    def get(self, key: str, default: Any = None) -> Any:
        """The value under `key`, or `default` where there is none, as of this transaction. Counts as a read.

        Raises `ConflictError` where something that was read before has changed since.
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
        """Stores `value` under `key` when the transaction is committed. Arguments and errors are those of
        `DataStore.set`, but an `if_version` that does not hold shows at the end.
        """
    def delete(self, key: str) -> bool:
        """Removes the record under `key` when the transaction is committed; `True` if there is a live one."""
    def increment(self, key: str, by: float = 1, *, ttl: float | timedelta | None = None) -> int | float:
        """As `DataStore.increment`, when the transaction is committed."""
    def append(
        self,
        key: str,
        item: Any,
        *,
        unique: bool = False,
        max_length: int | None = None,
        ttl: float | timedelta | None = None,
    ) -> int:
        """As `DataStore.append`, when the transaction is committed."""
    def extend(
        self,
        key: str,
        items: Iterable[Any],
        *,
        unique: bool = False,
        max_length: int | None = None,
        ttl: float | timedelta | None = None,
    ) -> int:
        """As `DataStore.extend`, when the transaction is committed."""
    def merge(self, key: str, patch: Any, *, ttl: float | timedelta | None = None) -> Any:
        """As `DataStore.merge`, when the transaction is committed."""
    def use_namespace(self, namespace: str) -> Transaction:
        """The same transaction in another namespace."""
    @property
    def namespace(self) -> str:
        """The namespace of this object."""
    def __enter__(self) -> Transaction: ...
    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
    @property
    def _is_inline(self) -> bool:
        """Whether the engine answers on the calling thread, so that a read needs no other one."""
    def _begin(self) -> None: ...
    def _commit(self) -> None: ...
    def _roll_back(self) -> None: ...

@final
class Claim:
    """A task that is kept from others for a time, from `DataStore.claim`. Unless ended, it then goes back to them.

    As a context manager it is ended by its block, unless the block has done so: completed without a result at the
    end; where the block raises, given back for another attempt after a pause of 1 second, doubled with each attempt up
    to 300; and released where the block is interrupted or cancelled.

    `complete`, `fail`, `release` and `renew` raise `LeaseLostError` where the time was over and another one has the
    task, or after a fork, in the child: it belongs to the parent. They then have no effect.
    """

    @property
    def key(self) -> str:
        """The key of the task."""
    @property
    def value(self) -> Any:
        """Its value when it was claimed."""
    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1."""
    @property
    def until(self) -> datetime | None:
        """When the task goes back to the others, as an aware time in UTC."""
    @property
    def last_error(self) -> str | None:
        """Why the attempt before this one failed, where it has said so."""
    def complete(self, result: Any = None) -> None:
        """Takes the task out of the work and keeps `result`, in one step.

        Raises what `set` raises for a result that cannot be stored.
        """
    def fail(self, error: str | BaseException, retry_in: float | timedelta | None = None) -> None:
        """Gives the task back for another attempt after a pause of `retry_in`, or with `None` sets it aside for good.

        `error`: why, as text or an exception, of which at most 1,000 characters are kept. `retry_in` is in seconds or
        a `timedelta`; 0 for at once.
        """
    def release(self) -> None:
        """Gives the task back at once, as if it had not been claimed: the attempt does not count."""
    def renew(self, ttl: float | timedelta) -> None:
        """Keeps the task for another `ttl` from now, in seconds or as a `timedelta`."""
    def __enter__(self) -> Claim: ...
    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
    def _start_complete(self, result: Any) -> Call: ...
    def _start_fail(self, error: str | BaseException, retry_in: float | timedelta | None) -> Call: ...
    def _start_release(self) -> Call: ...
    def _start_renew(self, ttl: float | timedelta) -> Call: ...
    def _start_exit(self, exception: BaseException | None) -> Call | None:
        """The end of a block, or `None` where the block has ended the claim itself."""

@final
class Lease:
    """A held lock, from `DataStore.lock`; as a context manager it is released at the end of the block.

    A thread renews it until it is released, so it ends only with the process, or where the process stands still for
    longer than `ttl`. After a fork it belongs to the parent: in the child, every call raises `LeaseLostError`.
    """

    @property
    def token(self) -> int:
        """The fencing token: greater than that of every earlier holder of the lock.

        Pass it to whatever the lock protects, and have that refuse a token that is smaller than one it has seen.
        """
    @property
    def resource(self) -> str:
        """What is locked."""
    @property
    def is_held(self) -> bool:
        """Whether the lock is still held, as far as the last renewal could tell. Asks nobody."""
    def renew(self) -> None:
        """Holds the lock for another `ttl` from now. The background does so too; this tells whether it succeeds.

        Raises `LeaseLostError` where the lock had ended, and `InvalidArgumentError` where it was released.
        """
    def release(self) -> None:
        """Gives the lock back; releasing twice does nothing.

        Raises `LeaseLostError` where the lock had ended before.
        """
    def __enter__(self) -> Lease: ...
    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
    def _start_renew(self) -> Call: ...
    def _start_release(self) -> Call: ...

@final
class Watch:
    """The changes of a namespace as they come, from `DataStore.watch`.

    None is missed and none comes twice; a record that is written often shows each write. A clear of the namespace is
    one change without a key. Changes of this process are seen at once, those of others within 50 ms. For one thread
    at a time.

    Iterating raises `InvalidArgumentError` where it has fallen so far behind that changes are no longer kept.
    """

    @property
    def position(self) -> int:
        """The position after the last change that was returned or passed over, for `watch(since=…)` to resume from."""
    def __iter__(self) -> Watch: ...
    def __next__(self) -> Change: ...
    def _start_next(self) -> Call: ...

@final
class Call:
    """A call that a coroutine drives. Its steps may wait for the disk, so they are for threads."""

    def advance(self, wake: Callable[[], object]) -> bool | None:
        """Goes on: `True` when the call is done, `False` when it asks, `None` when it waits until `wake` is called."""
    def question(self) -> tuple[Any, ...]:
        """The arguments of the function that the call wants called."""
    def answer(self, result: Any) -> None:
        """What the function has returned."""
    def fail(self, exception: BaseException) -> None:
        """What the function has raised."""
    def result(self) -> Any:
        """The result of a call that is done."""
    def cancel(self) -> None:
        """Ends the call, and releases what it holds."""

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
    lost), `memory:`, `postgresql://user:password@host/database`, or that of a server, `http://host:port` or
    `https://host:port`, each with `?secrets=allow`, `warn` or `refuse` (see `DataStore.use_namespace`); left
    out, the environment's `AGENT_DATA_STORE_URL`, else one file in the platform's data folder. `user`, `agent`
    and `namespace` that are left out come from `AGENT_DATA_STORE_USER`, `_AGENT` and `_NAMESPACE`, else they
    are those of the token, else "default", "unknown" and "default". `user` and `agent` are 1 to 256 bytes of
    UTF-8 without NUL. `token`, or else `AGENT_DATA_STORE_TOKEN`, is for a server; a store without one takes
    none.

    The result is a context manager that closes the store. Raises `InvalidArgumentError` for a URL or a name
    that cannot be, `CorruptStoreError` for a file that is damaged, not a store or newer than this version,
    `PermissionDeniedError` for a token that the server does not know, and `UnavailableError` where the store
    cannot be reached; a file is then untouched.
    """

def run_program(arguments: list[str]) -> int:
    """Runs `ads`, the program's name first among `arguments`, and returns its exit code."""

def to_json(value: Any, what: str = "value") -> str:
    """The compact JSON text of `value`; raises what `set` would raise, with `what` as its name."""

def from_json(text: str) -> Any:
    """The object that JSON text describes, as `get` returns it."""

def keep_found_secrets() -> None:
    """Has what is found on this thread wait for `found_secrets`."""

def found_secrets() -> list[str]:
    """The messages of what was found on this thread and not warned of yet."""

def holds_secret(text: str) -> bool:
    """Whether `text` holds what looks like a credential."""

def before_fork() -> None: ...
def after_fork() -> None: ...
def close_all() -> None: ...
