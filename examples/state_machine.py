"""State machine: a job that moves one step in each run and never takes a step twice.

The job makes a manifest of a folder: scan, hash, verify, complete. Each step starts from what the
step before has stored. `if_version` lets only one of two concurrent runs record a step; the other
one is told, and its work on that step is dropped.

    ads run examples/state_machine.py --input '{"job": "m1", "folder": "examples", "action": "advance"}'
    ads run examples/state_machine.py --input '{"job": "m1", "action": "status"}'
"""

import hashlib
from datetime import datetime, timezone
from pathlib import Path

from agent_data_store import ConflictError

STEPS = ["scan", "hash", "verify", "complete"]
NEW = {"status": "pending", "current_step": None, "completed": {}, "result": None}


def digest(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def execute(step: str, done: dict, folder: str):
    if step == "scan":
        paths = Path(folder).rglob("*")
        return sorted(str(p) for p in paths if p.is_file() and "__pycache__" not in p.parts)
    if step == "hash":
        return {path: digest(path) for path in done["scan"]["result"]}
    if step == "verify":
        changed = [p for p, known in done["hash"]["result"].items() if digest(p) != known]
        return {"changed": changed}
    return {"files": len(done["hash"]["result"]), **done["verify"]["result"]}


async def run(input_dict: dict, tools: dict) -> dict:
    key = f"job:{input_dict['job']}"
    record = data_store.get_record(key)
    state = record.value if record else NEW
    if input_dict.get("action", "status") == "status" or state["status"] == "completed":
        return state

    step = STEPS[len(state["completed"])]
    result = execute(step, state["completed"], input_dict["folder"])
    entry = {"result": result, "at": datetime.now(timezone.utc).isoformat()}
    last = step == STEPS[-1]
    state = {
        "status": "completed" if last else "in_progress",
        "current_step": step,
        "completed": {**state["completed"], step: entry},
        "result": result if last else None,
    }
    try:
        data_store.set(key, state, if_version=record.version if record else 0)
    except ConflictError:
        return {"error": "another run advanced this job", "job": input_dict["job"]}
    return state
