"""Append to a list: collect items over many runs, newest last, with a bound on the length.

A list under one key is read and written whole, so it suits short lists; `max_items` keeps it short.
`if_version` keeps two runs that append at the same time from losing an item.

    ads run examples/append_list.py --input '{"item": "read the log", "max_items": 100}'
"""

from datetime import datetime, timezone

from agent_data_store import ConflictError


def append(key: str, item: dict, max_items: int) -> list:
    while True:
        record = data_store.get_record(key)
        items = [*(record.value if record else []), item][-max_items:]
        try:
            data_store.set(key, items, if_version=record.version if record else 0)
            return items
        except ConflictError:
            continue  # another run appended in between


async def run(input_dict: dict, tools: dict) -> dict:
    item = {"value": input_dict["item"], "added_at": datetime.now(timezone.utc).isoformat()}
    items = append("collected-items", item, input_dict.get("max_items", 100))
    return {"total_items": len(items), "first": items[0]["value"], "latest": items[-1]["value"]}
