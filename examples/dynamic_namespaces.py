"""Dynamic namespaces: choose the namespace from the input, so each subject has its own keys.

Sorts the files of a folder into one namespace for each file type, `tree:FOLDER:SUFFIX`. A namespace
needs no creation: it exists while it holds a record.

    ads run examples/dynamic_namespaces.py --input '{"folder": "examples"}'
"""

from collections import defaultdict
from pathlib import Path


async def run(input_dict: dict, tools: dict) -> dict:
    folder = Path(input_dict["folder"])
    by_suffix = defaultdict(dict)
    for path in folder.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            text = path.read_text(encoding="utf-8", errors="replace")
            name = path.relative_to(folder).as_posix()
            by_suffix[path.suffix.lstrip(".") or "none"][name] = {"lines": len(text.splitlines())}

    stored = {}
    for suffix, files in sorted(by_suffix.items()):
        namespace = f"tree:{folder.name}:{suffix}"
        stored[namespace] = data_store.use_namespace(namespace).set_many(files)
    return {"files_stored": stored}
