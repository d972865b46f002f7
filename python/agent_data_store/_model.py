"""What the store reports: records, statistics, tasks, changes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Record:
    """A whole record. Times are aware, in UTC, and exact to the microsecond."""

    user_id: str
    """The owner."""
    namespace: str
    """The namespace."""
    key: str
    """The key."""
    value: Any
    """The value."""
    metadata: dict[str, Any]
    """What was given as `metadata`, merged over all writes."""
    version: int
    """The version of the last write: strictly increasing per key, also across delete and re-create."""
    created_by_agent: str | None
    """Who created the record; `None` for an administrator."""
    updated_by_agent: str | None
    """Who wrote it last."""
    last_accessed_by_agent: str | None
    """Who read or wrote it last."""
    access_count: int
    """How often it was read; reads are counted at most 10 seconds late."""
    created_at: datetime
    """When it was created."""
    updated_at: datetime
    """When it was written last."""
    last_accessed_at: datetime | None
    """When an agent read or wrote it last; reads are counted at most 10 seconds late."""
    expires_at: datetime | None
    """The instant from which it is gone; `None` for never."""


@dataclass(frozen=True, slots=True)
class NamespaceStats:
    """One namespace without its records."""

    namespace: str
    """The name."""
    records: int
    """How many live records it holds."""
    bytes: int
    """Bytes of the live records' keys, values and metadata, as UTF-8 JSON text."""
    agents: list[str]
    """The agents that have written or read here since the namespace came to be, sorted."""
    updated_at: datetime
    """When a record here was last written or deleted."""


@dataclass(frozen=True, slots=True)
class ClaimedTask:
    """A task that somebody has claimed."""

    key: str
    """Its key."""
    agent: str | None
    """The agent that has it."""
    attempt: int
    """Which attempt this is, from 1."""
    until: datetime
    """When it goes back to the others unless renewed, as an aware time in UTC."""


@dataclass(frozen=True, slots=True)
class FailedTask:
    """A task that was set aside for good."""

    key: str
    """Its key."""
    attempts: int
    """How often it was tried."""
    error: str | None
    """Why the last attempt failed."""


@dataclass(frozen=True, slots=True)
class TaskSummary:
    """Tasks in sum, from `DataStore.tasks`."""

    waiting: int
    """How many can be claimed, now or after a pause."""
    claimed: list[ClaimedTask]
    """Those that somebody has claimed, in the order of keys."""
    done: int
    """How many were completed."""
    failed: list[FailedTask]
    """Those that were set aside, in the order of keys."""


@dataclass(frozen=True, slots=True)
class Change:
    """One committed change, from `DataStore.changes` and `watch`."""

    version: int
    """The position in the feed, and the version that a write gave to its record."""
    kind: Literal["set", "delete", "expire", "clear"]
    """What happened: `set` for every write of a record, `clear` for a whole namespace."""
    namespace: str
    """Where."""
    key: str | None
    """To which key; `None` for `clear`."""
    agent: str | None
    """Who did it; `None` for an administrator and for expiry."""
    at: datetime
    """When it was committed, as an aware time in UTC."""
