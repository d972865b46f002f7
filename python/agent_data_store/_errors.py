"""The exceptions of the package, all below `DataStoreError`, and its warning."""

from __future__ import annotations

TYPE_CHECKING = False  # As in the package itself.
if TYPE_CHECKING:
    from datetime import datetime


class DataStoreError(Exception):
    """Base class of every error that the store raises.

    Messages name the thing and the remedy, and never carry a stored value or a token.
    """

    operation: str | None = None
    """The verb that failed, where known."""

    namespace: str | None = None
    """The namespace concerned, where the error is about one record."""

    key: str | None = None
    """The key concerned, where the error is about one record."""

    retryable: bool = False
    """Whether the same call may succeed later with nothing changed by the caller."""


class InvalidArgumentError(DataStoreError, ValueError):
    """A name, a value or an option that the call cannot accept, or a store that is closed."""


class NotSerializableError(DataStoreError, TypeError):
    """A value that JSON cannot hold; the message names the place in it and what to store instead."""


class TooLargeError(DataStoreError, ValueError):
    """A value, its metadata, its nesting or a batch is above its limit."""


class ConflictError(DataStoreError):
    """A precondition did not hold: somebody else wrote first. Read again and retry."""

    expected_version: int | None = None
    """The version that the call asked for; 0 for "no live record"."""

    actual_version: int | None = None
    """The version that was there; 0 for "no live record"."""


class LeaseHeldError(DataStoreError):
    """A lease is held by someone else."""

    holder: str | None = None
    """The agent that holds it, where its record names one."""

    expires_at: datetime | None = None
    """When it ends unless renewed, as an aware time in UTC; `None` where that cannot be told."""


class LeaseLostError(DataStoreError):
    """A lease that was held has ended: somebody else may have taken it. Stop, or take it again."""


class QuotaExceededError(DataStoreError):
    """The user's share of records or bytes is used up."""


class PermissionDeniedError(DataStoreError, PermissionError):
    """No valid token was given, or the token does not allow the call."""


class UnavailableError(DataStoreError, ConnectionError):
    """The store cannot answer now: busy past its deadline, the disk is full, the server is gone."""


class CorruptStoreError(DataStoreError):
    """The stored data is damaged, or the file is not a store of this version."""


class SecretsWarning(UserWarning):
    """Something that looks like a credential was stored; the message names the place and the kind, never the value."""


for _class in (DataStoreError, *DataStoreError.__subclasses__(), SecretsWarning):
    # Tracebacks show the name under which it is caught.
    _class.__module__ = "agent_data_store"
