"""The exceptions of the package, all below `DataStoreError`."""

from __future__ import annotations


class DataStoreError(Exception):
    """Base class of every error that the store raises."""


class InvalidArgumentError(DataStoreError, ValueError):
    """A name, a value or an option that the call cannot accept."""


class NotSerializableError(DataStoreError, TypeError):
    """A value that JSON cannot hold; the message names the place in it and what to store instead."""


class TooLargeError(DataStoreError, ValueError):
    """A value, its metadata, its nesting or a batch is above its limit."""


class CorruptStoreError(DataStoreError):
    """The stored data is damaged, or the file is not a store."""
