"""Partial update: agents that each change their own part of one value.

By hand one reads the project, changes a part and writes all of it back, with the parts of the others
as they were at the time of reading. `merge` sends only what changes: members replace those of the
same name at any depth, and `None` removes one (JSON Merge Patch, RFC 7396).

    ads run examples/partial_update.py --input '{"project": "w", "changes": {"status": "new", "owner": {"team": "a"}}}'
    ads run examples/partial_update.py --input '{"project": "w", "changes": {"owner": {"team": null, "name": "Ada"}}}'
    ads run examples/partial_update.py --input '{"project": "w", "changes": {"status": "done"}, "by_hand": true}'

`ads merge` does the same from the shell.
"""


def change_by_hand(key: str, changes: dict) -> dict:
    project = data_store.get(key, default={})
    project.update(changes)
    data_store.set(key, project)  # what another run has stored since the get is lost
    return project


def change(key: str, changes: dict) -> dict:
    return data_store.merge(key, changes)


async def run(input_dict: dict, tools: dict) -> dict:
    apply = change_by_hand if input_dict.get("by_hand") else change
    return apply(f"project:{input_dict['project']}", input_dict["changes"])
