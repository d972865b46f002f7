"""Fan-out: one run plans many tasks, any number of others work on them, each task is done once.

By hand one keeps a table of jobs with a status, and takes one by writing "running" into it. Two
workers may read "queued" before either has written, and the job of a worker that died stays "running"
until somebody resets it. `claim` gives out each task once, in the order of keys; it goes back by
itself when the time of a dead worker's claim is over, after a pause when it failed, and is set aside
after too many attempts.

    ads run examples/fan_out.py --input '{"action": "plan", "folder": "examples"}'
    ads run examples/fan_out.py --input '{"action": "work", "by_hand": true, "limit": 1}'
    ads run examples/fan_out.py --agent worker-1 --input '{"action": "work"}'
    ads run examples/fan_out.py --input '{"action": "status"}'

The task is to count the lines of a file. Results are in the namespace `tasks-done:line-counts`.
From the shell, `ads claim PREFIX --ttl 5m -- COMMAND` does a task, and `ads tasks` sums them up.
"""

from datetime import datetime, timezone
from pathlib import Path

jobs = data_store.use_namespace("line-counts")
PREFIX = "file:"
CLAIM_SECONDS = 60
MAX_ATTEMPTS = 3


def count_lines(task: dict) -> dict:
    return {"lines": len(Path(task["path"]).read_text(encoding="utf-8").splitlines())}


def plan(folder: str) -> dict:
    paths = [path for path in Path(folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    # Planning twice does no harm: what is done is skipped.
    tasks = {f"{PREFIX}{path.as_posix()}": {"path": path.as_posix()} for path in paths}
    return {"planned": jobs.set_many(tasks)}


def work_by_hand(limit: int) -> dict:
    done = []
    table = {key: jobs.get(key) for key in jobs.list_keys(prefix=PREFIX)}
    for key, job in table.items():
        if len(done) < limit and job.get("status", "queued") == "queued":
            # Another worker may have read "queued" as well.
            jobs.set(key, {**job, "status": "running", "since": datetime.now(timezone.utc).isoformat()})
            result = count_lines(job)  # if this worker dies here, the job stays "running"
            jobs.use_namespace("tasks-done:line-counts").set(key, result)
            jobs.delete(key)
            done.append(key)
    return {"done": done, "failed": []}


def work(limit: int) -> dict:
    done, failed = [], []
    while len(done) + len(failed) < limit:
        claim = jobs.claim(PREFIX, ttl=CLAIM_SECONDS, max_attempts=MAX_ATTEMPTS)
        if claim is None:
            break
        with claim:  # an exception gives the task back, for another attempt after a pause
            try:
                claim.complete(count_lines(claim.value))
                done.append(claim.key)
            except UnicodeDecodeError as error:
                claim.fail(error)  # no other attempt would read it as text
                failed.append(claim.key)
    return {"done": done, "failed": failed}


def status() -> dict:
    summary = jobs.tasks(PREFIX)
    return {
        "waiting": summary.waiting,
        "claimed": [{"key": task.key, "by": task.agent} for task in summary.claimed],
        "done": summary.done,
        "failed": {task.key: task.error for task in summary.failed},
    }


async def run(input_dict: dict, tools: dict) -> dict:
    if input_dict["action"] == "plan":
        return plan(input_dict["folder"])
    if input_dict["action"] == "status":
        return status()
    act = work_by_hand if input_dict.get("by_hand") else work
    return act(input_dict.get("limit", 1_000))
