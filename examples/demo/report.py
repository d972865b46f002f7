"""Builds on what `ingest.py` stored: a word index, statistics and a summary of the repository.

It never opens a file of the repository; all it knows comes from the store. The report is kept with
the fingerprint of its sources, so that a run over unchanged sources returns the stored one.

    ads run examples/demo/ingest.py --agent ingest --input '{"root": "."}'
    ads run examples/demo/report.py --agent report
"""

import hashlib
from collections import Counter, defaultdict

SHOWN = 5


def read_sources() -> dict[str, dict]:
    found = {}
    for namespace in data_store.list_namespaces(prefix="repo:"):
        found[namespace] = data_store.use_namespace(namespace).get_all()
    return found


def fingerprint(sources: dict[str, dict]) -> str:
    digest = hashlib.sha256()
    for namespace, files in sorted(sources.items()):
        for name, facts in sorted(files.items()):
            digest.update(f"{namespace}\0{name}\0{facts['sha256']}\n".encode())
    return digest.hexdigest()


def statistics_of(files: dict[str, dict]) -> dict:
    return {
        "files": len(files),
        "lines": sum(facts["lines"] for facts in files.values()),
        "bytes": sum(facts["bytes"] for facts in files.values()),
    }


def index_of(sources: dict[str, dict]) -> dict[str, list[str]]:
    index = defaultdict(list)
    for files in sources.values():
        for name, facts in files.items():
            for word in facts["words"]:
                index[word].append(name)
    return {word: sorted(names) for word, names in index.items()}


def replace(namespace: str, values: dict) -> None:
    space = data_store.use_namespace(namespace)
    space.clear()  # what no file supports any more must not be found
    space.set_many(values)


def largest_file(sources: dict[str, dict]) -> dict:
    files = ((space, name) for space, files in sources.items() for name in files)
    space, name = max(files, key=lambda each: sources[each[0]][each[1]]["bytes"])
    record = data_store.use_namespace(space).get_record(name)
    return {"name": name, "bytes": record.value["bytes"], "read_by": record.created_by_agent}


async def run(input_dict: dict, tools: dict) -> dict:
    sources = read_sources()
    if not sources:
        return {"error": "nothing to report on: run ingest.py on this store first"}

    report = data_store.use_namespace("report")
    current = fingerprint(sources)
    stored = report.get("summary")
    if stored is not None and stored["fingerprint"] == current:
        return {"source": "cache", **stored}

    statistics = {namespace: statistics_of(files) for namespace, files in sources.items()}
    index = index_of(sources)
    replace("report:statistics", statistics)
    replace("report:index", index)

    common = Counter({word: len(names) for word, names in index.items()}).most_common(SHOWN)
    summary = {
        "fingerprint": current,
        "files": sum(each["files"] for each in statistics.values()),
        "lines": sum(each["lines"] for each in statistics.values()),
        "indexed_words": len(index),
        "words_in_most_files": dict(common),
        "largest_file": largest_file(sources),
    }
    report.set("summary", summary)
    return {"source": "computed", **summary}
