"""Aggregate statistics: count, sum, minimum, maximum and mean over all runs, in one record.

Feeds the sizes of a folder's files, in bytes, into statistics that grow with every run.

    ads run examples/running_stats.py --input '{"folder": "examples"}'
"""

from pathlib import Path

from agent_data_store import ConflictError

EMPTY = {"count": 0, "sum": 0, "min": None, "max": None, "mean": None}


def include(stats: dict, values: list[int]) -> dict:
    if not values:
        return stats
    # `is None`, not truthiness: 0 is a valid minimum (an empty file).
    low, high, count = min(values), max(values), stats["count"] + len(values)
    total = stats["sum"] + sum(values)
    return {
        "count": count,
        "sum": total,
        "min": low if stats["min"] is None else min(stats["min"], low),
        "max": high if stats["max"] is None else max(stats["max"], high),
        "mean": total / count,
    }


async def run(input_dict: dict, tools: dict) -> dict:
    sizes = [p.stat().st_size for p in Path(input_dict["folder"]).rglob("*") if p.is_file()]
    while True:
        record = data_store.get_record("file-size-statistics")
        stats = include(record.value if record else EMPTY, sizes)
        try:
            version = record.version if record else 0
            data_store.set("file-size-statistics", stats, if_version=version)
            return stats
        except ConflictError:
            continue  # another run added its values in between
