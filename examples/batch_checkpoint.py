"""Batch with checkpoint: work through many items over several runs, and go on after a stop.

By hand one reads the checkpoint, works, and stores results and checkpoint. Two runs at once read the
same checkpoint; the slower one then puts the job back, and its results replace those of the other.
In a transaction all of it is stored or nothing, and only if the checkpoint is still the one that was
read; `transact` does the batch again, from the new checkpoint, where it is not.

    ads run examples/batch_checkpoint.py --input '{"folder": "examples", "batch_size": 10}'
    ads run examples/batch_checkpoint.py --input '{"folder": "examples", "batch_size": 10, "by_hand": true}'

Hashes the files of a folder, `batch_size` in each run. Repeat it until `"complete": true`. Give
another `"job"` to start over. For work that must not be done twice, see fan_out.py.
"""

import hashlib
from bisect import bisect_right
from pathlib import Path

BEGIN = {"last": "", "processed": 0}


def next_batch(paths: list[str], checkpoint: dict, size: int) -> list[str]:
    # The last path, not a position: a file that appears or goes must not shift the others.
    start = bisect_right(paths, checkpoint["last"])
    return paths[start : start + size]


def results_of(folder: Path, batch: list[str]) -> dict:
    return {f"result:{path}": hashlib.sha256((folder / path).read_bytes()).hexdigest() for path in batch}


def advanced(checkpoint: dict, batch: list[str]) -> dict:
    return {"last": batch[-1], "processed": checkpoint["processed"] + len(batch)}


def do_batch_by_hand(job, folder: Path, paths: list[str], size: int) -> tuple[dict, list[str]]:
    checkpoint = job.get("checkpoint", default=BEGIN)
    batch = next_batch(paths, checkpoint, size)
    if batch:
        checkpoint = advanced(checkpoint, batch)
        for key, result in results_of(folder, batch).items():
            job.set(key, result)
        job.set("checkpoint", checkpoint)  # what another run has stored since the get is lost
    return checkpoint, batch


def do_batch(job, folder: Path, paths: list[str], size: int) -> tuple[dict, list[str]]:
    def attempt(tx):
        checkpoint = tx.get("checkpoint", default=BEGIN)
        batch = next_batch(paths, checkpoint, size)
        if batch:
            checkpoint = advanced(checkpoint, batch)
            for key, result in results_of(folder, batch).items():
                tx.set(key, result)
            tx.set("checkpoint", checkpoint)
        return checkpoint, batch

    return job.transact(attempt)


async def run(input_dict: dict, tools: dict) -> dict:
    folder = Path(input_dict["folder"])
    job = data_store.use_namespace(f"batch:{input_dict.get('job', folder.as_posix())}")
    paths = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )
    work = do_batch_by_hand if input_dict.get("by_hand") else do_batch
    checkpoint, batch = work(job, folder, paths, input_dict.get("batch_size", 10))
    return {
        "processed": checkpoint["processed"],
        "total": len(paths),
        "complete": not next_batch(paths, checkpoint, 1),
        "batch": batch,
    }
