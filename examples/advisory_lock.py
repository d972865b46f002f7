"""Advisory lock: one run at a time works on a resource; a holder that dies does not block for ever.

The lock is the record `lock:RESOURCE`. `if_version=0` lets exactly one run create it, `ttl` removes
it should the holder never do so. Under the lock the run rebuilds a table of contents of several
records, which two runs at once would mix up.

    ads run examples/advisory_lock.py --input '{"folder": "examples"}'

Advisory: it holds back only those who ask for it. It is no protection of the data.
"""

import uuid
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

from agent_data_store import ConflictError

LEASE_SECONDS = 300


def acquire(lock_key: str, holder: dict) -> bool:
    try:
        data_store.set(lock_key, holder, ttl=LEASE_SECONDS, if_version=0)
        return True
    except ConflictError:
        return False


def release(lock_key: str, holder: dict) -> None:
    record = data_store.get_record(lock_key)
    if record is None or record.value != holder:
        return  # the lease ran out; the lock may be another run's by now
    # delete() takes no version, so it could remove the lock of a run that took over just now.
    with suppress(ConflictError):
        data_store.set(lock_key, holder, ttl=0.001, if_version=record.version)


def rebuild(folder: Path) -> dict:
    contents = data_store.use_namespace(f"contents:{folder.as_posix()}")
    generation = contents.get("generation", default=0) + 1
    headings = {}
    for path in sorted(folder.rglob("*.md")):
        lines = path.read_text(encoding="utf-8").splitlines()
        found = [line.lstrip("# ") for line in lines if line.startswith("#")]
        headings[f"headings:{path.relative_to(folder).as_posix()}"] = found
    stale = [key for key in contents.list_keys(prefix="headings:") if key not in headings]
    contents.delete_many(stale)
    contents.set_many({**headings, "generation": generation})
    return {"generation": generation, "files": len(headings), "removed": len(stale)}


async def run(input_dict: dict, tools: dict) -> dict:
    folder = Path(input_dict["folder"])
    lock_key = f"lock:{folder.as_posix()}"
    holder = {
        "agent": data_store.agent,
        "acquired_at": datetime.now(timezone.utc).isoformat(),
        "id": uuid.uuid4().hex,
    }
    if not acquire(lock_key, holder):
        other = data_store.get(lock_key)
        return {"error": "resource locked", "locked_by": other["agent"] if other else None}
    try:
        return {"result": rebuild(folder)}
    finally:
        release(lock_key, holder)
