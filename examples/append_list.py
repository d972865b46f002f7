"""Append to a list: collect items over many runs, newest last, with a bound on the length.

By hand one reads the list, appends and writes it back. Of two runs that read the same list, the one
that writes first loses its item. `append` is one atomic call; `max_length` drops the oldest items.

    ads run examples/append_list.py --input '{"item": "read the log", "max_items": 100}'
    ads run examples/append_list.py --input '{"item": "read the log", "by_hand": true}'

A list under one key is read and written whole, so it suits short lists. `ads append` does the same
from the shell.
"""

from datetime import datetime, timezone

KEY = "collected-items"


def append_by_hand(item: dict, max_items: int) -> int:
    items = data_store.get(KEY, default=[])
    items.append(item)
    data_store.set(KEY, items[-max_items:])  # what another run has stored since the get is lost
    return len(items[-max_items:])


def append(item: dict, max_items: int) -> int:
    return data_store.append(KEY, item, max_length=max_items)


async def run(input_dict: dict, tools: dict) -> dict:
    item = {"value": input_dict["item"], "added_at": datetime.now(timezone.utc).isoformat()}
    add = append_by_hand if input_dict.get("by_hand") else append
    total = add(item, input_dict.get("max_items", 100))
    return {"total_items": total, "first": data_store.get(KEY)[0]["value"], "latest": item["value"]}
