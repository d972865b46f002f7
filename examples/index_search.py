"""Index and search: find documents by word, with one record for each (word, document) pair.

A posting is the key `WORD/DOCUMENT`; a search lists the keys with the prefix `WORD/`. No list is
read, changed and written back, so runs that index different documents do not disturb each other.

    ads run examples/index_search.py --input '{"index": "examples"}'
    ads run examples/index_search.py --input '{"query": "expiry"}'
"""

import re
from pathlib import Path


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z][a-z0-9]{2,}", text.lower()))


def index_document(name: str, text: str) -> int:
    documents = data_store.use_namespace("documents")
    postings = data_store.use_namespace("keyword-index")
    known, found = documents.get(name), words(text)
    if known is not None:
        gone = words(known["text"]) - found
        postings.delete_many([f"{word}/{name}" for word in gone])
    # Postings first: should this run die in between, the next one still compares with the old text
    # and repeats the work. The other way round, postings would be missing until the text changes.
    added = postings.set_many({f"{word}/{name}": True for word in found})
    documents.set(name, {"text": text})
    return added


def search(query: str) -> list[dict]:
    documents = data_store.use_namespace("documents")
    postings = data_store.use_namespace("keyword-index")
    matches = None
    for word in sorted(words(query)):
        names = {key.split("/", 1)[1] for key in postings.list_keys(prefix=f"{word}/")}
        matches = names if matches is None else matches & names
    found = documents.get_many(sorted(matches or ()))
    return [{"name": name, "characters": len(doc["text"])} for name, doc in sorted(found.items())]


async def run(input_dict: dict, tools: dict) -> dict:
    if "query" in input_dict:
        return {"results": search(input_dict["query"])}
    folder = Path(input_dict["index"])
    indexed = {}
    for path in sorted([*folder.rglob("*.py"), *folder.rglob("*.md")]):
        name = path.relative_to(folder).as_posix()
        indexed[name] = index_document(name, path.read_text(encoding="utf-8"))
    return {"indexed": indexed}
