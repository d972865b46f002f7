"""TTL cache: keep an answer for a while and let the store forget it.

Adds up the file sizes below a folder. The answer may be as old as `ttl_seconds`; after that the
record is gone for every reader, and the next run measures again.

    ads run examples/ttl_cache.py --input '{"folder": "examples", "ttl_seconds": 3600}'
"""

from pathlib import Path


def measure(folder: str) -> dict:
    files = [path for path in Path(folder).rglob("*") if path.is_file()]
    return {"files": len(files), "bytes": sum(path.stat().st_size for path in files)}


async def run(input_dict: dict, tools: dict) -> dict:
    folder = input_dict["folder"]
    cache = data_store.use_namespace("folder-sizes")

    # One read gives the value and its expiry: between two, the record could expire.
    record = cache.get_record(folder)
    if record is not None:
        return {"source": "cache", "expires_at": record.expires_at.isoformat(), **record.value}

    size = measure(folder)
    cache.set(folder, size, ttl=input_dict.get("ttl_seconds", 3600))
    return {"source": "measured", **size}
