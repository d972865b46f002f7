"""Advisory lock: one run at a time works on a resource; a holder that dies does not block for ever.

By hand one looks whether there is a lock, and if not stores one. Two runs may both look before either
has stored. And who deletes the lock at the end may delete that of another run, after its own has
grown old. `lock` takes it atomically, renews it while the block runs and gives back only its own.

    ads run examples/advisory_lock.py --input '{"folder": "examples"}'
    ads run examples/advisory_lock.py --input '{"folder": "examples", "wait_seconds": 10}'
    ads run examples/advisory_lock.py --input '{"folder": "examples", "by_hand": true}'

Under the lock the run rebuilds a table of contents of several records, which two runs at once would
mix up. Both forms use the record `lock:RESOURCE` with the agent and the time, so they see each
other's locks. From the shell, `ads lock RESOURCE -- COMMAND` runs a command under one.

Advisory: it holds back only those who ask for it. It is no protection of the data.
"""

from datetime import datetime, timedelta
from pathlib import Path

from agent_data_store import LeaseHeldError


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


def rebuild_under_lock_by_hand(folder: Path) -> dict:
    key = f"lock:{folder.as_posix()}"
    holder = data_store.get(key)
    if holder and datetime.now() - datetime.fromisoformat(holder["acquired_at"]) < timedelta(minutes=5):
        return {"error": "resource locked", "locked_by": holder["agent"]}
    # Another run may have looked just now, and taken it too.
    data_store.set(key, {"agent": data_store.agent, "acquired_at": datetime.now().isoformat()})
    try:
        return {"result": rebuild(folder)}
    finally:
        data_store.delete(key)


def rebuild_under_lock(folder: Path, wait_seconds: float) -> dict:
    try:
        with data_store.lock(folder.as_posix(), wait=wait_seconds):
            return {"result": rebuild(folder)}
    except LeaseHeldError as error:
        return {"error": "resource locked", "locked_by": error.holder}


async def run(input_dict: dict, tools: dict) -> dict:
    folder = Path(input_dict["folder"])
    if input_dict.get("by_hand"):
        return rebuild_under_lock_by_hand(folder)
    return rebuild_under_lock(folder, input_dict.get("wait_seconds", 0))
