"""A persistent JSON key-value store for AI agents.

    from agent_data_store import connect

    with connect() as data_store:
        data_store.set("project", {"status": "active"})
        data_store.get("project")

Records are private to a user, shared by all agents of that user, and grouped in namespaces. `connect` opens a store and
returns a `DataStore`; `run_agent` runs a Python file that finds one as `data_store`. Every error is a `DataStoreError`.
"""

import atexit as _atexit
import os as _os

from agent_data_store import _native
from agent_data_store._errors import (
    ConflictError,
    CorruptStoreError,
    DataStoreError,
    InvalidArgumentError,
    LeaseHeldError,
    LeaseLostError,
    NotSerializableError,
    PermissionDeniedError,
    QuotaExceededError,
    SecretsWarning,
    TooLargeError,
    UnavailableError,
)
from agent_data_store._native import Claim, DataStore, Lease, Transaction, Watch, __version__, connect

TYPE_CHECKING = False  # Type checkers know better; importing typing would take as long as all the rest.
if TYPE_CHECKING:
    from agent_data_store._aio import AsyncDataStore, AsyncItems
    from agent_data_store._aio_blocks import AsyncClaim, AsyncLease, AsyncTransaction, AsyncWatch
    from agent_data_store._model import Change, ClaimedTask, FailedTask, NamespaceStats, Record, TaskSummary
    from agent_data_store._runner import run_agent, run_agent_async

__all__ = [
    "AsyncClaim",
    "AsyncDataStore",
    "AsyncItems",
    "AsyncLease",
    "AsyncTransaction",
    "AsyncWatch",
    "Change",
    "Claim",
    "ClaimedTask",
    "ConflictError",
    "CorruptStoreError",
    "DataStore",
    "DataStoreError",
    "FailedTask",
    "InvalidArgumentError",
    "Lease",
    "LeaseHeldError",
    "LeaseLostError",
    "NamespaceStats",
    "NotSerializableError",
    "PermissionDeniedError",
    "QuotaExceededError",
    "Record",
    "SecretsWarning",
    "TaskSummary",
    "TooLargeError",
    "Transaction",
    "UnavailableError",
    "Watch",
    "__version__",
    "connect",
    "run_agent",
    "run_agent_async",
]

if hasattr(_os, "register_at_fork"):
    _os.register_at_fork(
        before=_native.before_fork, after_in_parent=_native.after_fork, after_in_child=_native.after_fork
    )
_atexit.register(_native.close_all)

# Imported when first asked for: asyncio alone takes three times as long to import as all the rest.
_LATER = {
    "AsyncClaim": "_aio_blocks",
    "AsyncDataStore": "_aio",
    "AsyncItems": "_aio",
    "AsyncLease": "_aio_blocks",
    "AsyncTransaction": "_aio_blocks",
    "AsyncWatch": "_aio_blocks",
    "Change": "_model",
    "ClaimedTask": "_model",
    "FailedTask": "_model",
    "NamespaceStats": "_model",
    "Record": "_model",
    "TaskSummary": "_model",
    "run_agent": "_runner",
    "run_agent_async": "_runner",
}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
