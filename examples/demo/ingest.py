"""Reads the files of a repository into namespaces, one for each top-level folder: `repo:FOLDER`.

Each record is what was learnt about one file, with the hash of its content. A later run compares
hashes with one bulk read for each namespace and analyses only what has changed.

    ads run examples/demo/ingest.py --agent ingest --input '{"root": "."}'
"""

import hashlib
import os
import re
import subprocess
from collections import Counter, defaultdict
from pathlib import Path

MAX_FILES = 1_000
MAX_BYTES_PER_FILE = 512 * 1024
SKIPPED_FOLDERS = {"target", "node_modules", "dist", "__pycache__"}


def repository_files(root: Path) -> list[str]:
    try:
        command = ["git", "-C", str(root), "ls-files", "-z"]
        listed = subprocess.run(command, capture_output=True, check=True).stdout
        names = [os.fsdecode(name) for name in listed.split(b"\0") if name]
    except (OSError, subprocess.CalledProcessError):  # no git, or not a repository
        names = []
    return sorted(names or walk(root))[:MAX_FILES]


def walk(root: Path) -> list[str]:
    found = []
    for folder, subfolders, files in os.walk(root):
        kept = [n for n in subfolders if not n.startswith(".") and n not in SKIPPED_FOLDERS]
        subfolders[:] = kept
        found += [(Path(folder) / name).relative_to(root).as_posix() for name in files]
    return found


def analyse(content: bytes, digest: str) -> dict:
    text = content.decode("utf-8", errors="replace").lower()
    words = Counter(re.findall(r"[a-z_][a-z0-9_]{3,}", text))
    return {
        "sha256": digest,
        "bytes": len(content),
        "lines": content.count(b"\n"),
        "words": dict(words.most_common(20)),
    }


def ingest_folder(root: Path, folder: str, names: list[str]) -> dict:
    space = data_store.use_namespace(f"repo:{folder}")
    known = space.get_many(names)
    changed, cached = {}, 0
    for name in names:
        content = (root / name).read_bytes()[:MAX_BYTES_PER_FILE]
        digest = hashlib.sha256(content).hexdigest()
        if name in known and known[name]["sha256"] == digest:
            cached += 1
        else:
            changed[name] = analyse(content, digest)
    if changed:
        space.set_many(changed, metadata={"source": "working tree"})
    return {"analysed": len(changed), "from_cache": cached}


def forget_missing(present: dict[str, list[str]]) -> int:
    forgotten = 0
    for namespace in data_store.list_namespaces(prefix="repo:"):
        space = data_store.use_namespace(namespace)
        names = set(present.get(namespace.removeprefix("repo:"), []))
        if gone := [key for key in space.list_keys() if key not in names]:
            forgotten += space.delete_many(gone)
    return forgotten


async def run(input_dict: dict, tools: dict) -> dict:
    root = Path(input_dict.get("root", "."))
    present = defaultdict(list)
    for name in repository_files(root):
        if (root / name).is_file():
            present[name.split("/", 1)[0] if "/" in name else "top-level"].append(name)

    totals = Counter()
    for folder, names in present.items():
        totals.update(ingest_folder(root, folder, names))
    result = {
        "files": sum(map(len, present.values())),
        "namespaces": len(present),
        "analysed": totals["analysed"],
        "from_cache": totals["from_cache"],
        "forgotten": forget_missing(present),
    }
    data_store.use_namespace("demo").set("last-ingest", result)
    return result
