"""Hierarchical keys: several kinds of facts about one thing, found again by prefix.

Stores a folder as a project: `project:NAME:config`, `project:NAME:status` and one
`project:NAME:files:PATH` for each file. All of it is written as one atomic batch.

    ads run examples/hierarchical_keys.py --input '{"project": "examples", "folder": "examples"}'

Keys sort by code point, so a prefix selects one contiguous range:

    ads keys project:examples:files:
"""

import hashlib
from pathlib import Path


async def run(input_dict: dict, tools: dict) -> dict:
    project, folder = input_dict["project"], Path(input_dict["folder"])
    prefix = f"project:{project}:"

    files = {
        f"{prefix}files:{path.relative_to(folder).as_posix()}": {
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    gone = [key for key in data_store.list_keys(prefix=f"{prefix}files:") if key not in files]
    data_store.set_many({f"{prefix}config": {"folder": str(folder)}, f"{prefix}status": "scanned", **files})
    data_store.delete_many(gone)

    stored = data_store.list_keys(prefix=f"{prefix}files:")
    return {"project": project, "files": stored, "removed": len(gone)}
