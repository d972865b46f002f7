"""A persistent JSON key-value store for AI agents."""

from agent_data_store._errors import (
    CorruptStoreError,
    DataStoreError,
    InvalidArgumentError,
    NotSerializableError,
    TooLargeError,
)

__all__ = [
    "CorruptStoreError",
    "DataStoreError",
    "InvalidArgumentError",
    "NotSerializableError",
    "TooLargeError",
]
