"""TTL cache: keep an answer for a while and let the store forget it.

By hand one stores the time with the value, and compares it at every read. Every reader has to know
the rule, what has expired stays in the store, and all runs that meet the expiry measure at once.
`get_or_compute` with a `ttl` does it in one call: the record is gone at its expiry for every reader,
and one run measures while the others wait.

    ads run examples/ttl_cache.py --input '{"folder": "examples", "ttl_seconds": 3600}'
    ads run examples/ttl_cache.py --input '{"folder": "examples", "ttl_seconds": 3600, "by_hand": true}'

Adds up the file sizes below a folder.
"""

from datetime import datetime, timedelta, timezone
from pathlib import Path

cache = data_store.use_namespace("folder-sizes")
measured = []


def measure(folder: str) -> dict:
    files = [path for path in Path(folder).rglob("*") if path.is_file()]
    measured.append(folder)
    return {"files": len(files), "bytes": sum(path.stat().st_size for path in files)}


def size_by_hand(folder: str, ttl_seconds: float) -> dict:
    now = datetime.now(timezone.utc)
    # A key of its own, because what is stored here never expires by itself.
    found = cache.get(f"by hand:{folder}")
    if found and now - datetime.fromisoformat(found["measured_at"]) < timedelta(seconds=ttl_seconds):
        return found["value"]
    size = measure(folder)  # and so may another run, at the same time
    cache.set(f"by hand:{folder}", {"value": size, "measured_at": now.isoformat()})
    return size


def size(folder: str, ttl_seconds: float) -> dict:
    return cache.get_or_compute(folder, lambda: measure(folder), ttl=ttl_seconds)


async def run(input_dict: dict, tools: dict) -> dict:
    look = size_by_hand if input_dict.get("by_hand") else size
    found = look(input_dict["folder"], input_dict.get("ttl_seconds", 3600))
    return {"source": "measured" if measured else "cache", **found}
