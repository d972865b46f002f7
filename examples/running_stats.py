"""Aggregate statistics: count, sum, minimum, maximum and mean over all runs, in one record.

By hand one reads the statistics, includes the new values and writes them back; of two runs that read
the same ones, one is never included. `update` stores what a function makes of the value that is
there, and calls it again, on what the other one has stored, where somebody was quicker.

    ads run examples/running_stats.py --input '{"folder": "examples"}'
    ads run examples/running_stats.py --input '{"folder": "examples", "by_hand": true}'

Feeds the sizes of a folder's files, in bytes, into statistics that grow with every run.
"""

from pathlib import Path

KEY = "file-size-statistics"
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


def add_by_hand(sizes: list[int]) -> dict:
    stats = include(data_store.get(KEY, default=EMPTY), sizes)
    data_store.set(KEY, stats)  # what another run has stored since the get is lost
    return stats


def add(sizes: list[int]) -> dict:
    return data_store.update(KEY, lambda stats: include(stats, sizes), default=EMPTY)


async def run(input_dict: dict, tools: dict) -> dict:
    sizes = [p.stat().st_size for p in Path(input_dict["folder"]).rglob("*") if p.is_file()]
    return add_by_hand(sizes) if input_dict.get("by_hand") else add(sizes)
