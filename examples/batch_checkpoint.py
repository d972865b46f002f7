"""Batch with checkpoint: work through many items over several runs, and go on after a stop.

Hashes the files of a folder, `batch_size` in each run. The results of a batch and the checkpoint
are one atomic write, so a run that dies leaves either both or neither.

    ads run examples/batch_checkpoint.py --input '{"folder": "examples", "batch_size": 10}'

Repeat it until `"complete": true`. Give another `"job"` to start over.
"""

import hashlib
from bisect import bisect_right
from pathlib import Path


async def run(input_dict: dict, tools: dict) -> dict:
    folder, batch_size = Path(input_dict["folder"]), input_dict.get("batch_size", 10)
    job = data_store.use_namespace(f"batch:{input_dict.get('job', folder.as_posix())}")
    paths = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )

    # The last path, not a position: a file that appears or goes must not shift the others.
    checkpoint = job.get("checkpoint", default={"last": "", "processed": 0})
    start = bisect_right(paths, checkpoint["last"])
    batch = paths[start : start + batch_size]
    if batch:
        checkpoint = {"last": batch[-1], "processed": checkpoint["processed"] + len(batch)}
        results = {f"result:{path}": hashlib.sha256((folder / path).read_bytes()).hexdigest() for path in batch}
        job.set_many({**results, "checkpoint": checkpoint})

    return {
        "processed": checkpoint["processed"],
        "total": len(paths),
        "complete": start + len(batch) >= len(paths),
        "batch": batch,
    }
