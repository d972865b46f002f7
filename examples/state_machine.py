"""State machine: a job that moves one step in each run and never takes a step twice.

By hand one reads the job, takes the next step and writes the job back. Of two runs at once both take
the step, and the slower one may put the job back by one. With `if_version` a step is stored only on
the state from which it was taken; the other run is told, and its work on that step is dropped.

    ads run examples/state_machine.py --input '{"job": "m1", "folder": "examples", "action": "advance"}'
    ads run examples/state_machine.py --input '{"job": "m1", "action": "status"}'
    ads run examples/state_machine.py --input '{"job": "m2", "folder": "docs", "action": "advance", "by_hand": true}'

The job makes a manifest of a folder: scan, hash, verify, complete. Each step starts from what the
step before has stored.
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


def advanced(state: dict, folder: str) -> dict:
    if state["status"] == "completed":
        return state
    step = STEPS[len(state["completed"])]
    result = execute(step, state["completed"], folder)
    entry = {"result": result, "at": datetime.now(timezone.utc).isoformat()}
    last = step == STEPS[-1]
    return {
        "status": "completed" if last else "in_progress",
        "current_step": step,
        "completed": {**state["completed"], step: entry},
        "result": result if last else None,
    }


def advance_by_hand(key: str, folder: str) -> dict:
    state = advanced(data_store.get(key, default=NEW), folder)
    data_store.set(key, state)  # what another run has stored since the get is lost
    return state


def advance(key: str, folder: str) -> dict:
    record = data_store.get_record(key)
    state = advanced(record.value if record else NEW, folder)
    try:
        # Version 0 stands for "there is no such record".
        data_store.set(key, state, if_version=record.version if record else 0)
    except ConflictError:
        return {"error": "another run advanced this job"}
    return state


async def run(input_dict: dict, tools: dict) -> dict:
    key = f"job:{input_dict['job']}"
    if input_dict.get("action", "status") == "status":
        return data_store.get(key, default=NEW)
    step = advance_by_hand if input_dict.get("by_hand") else advance
    return step(key, input_dict["folder"])
