"""Index and search: find documents by the words in them, with a list of documents under each word.

By hand one reads the list of a word, appends the document and writes the list back, for every word of
every document. Of two runs that index at once, one may lose its document in some of the lists, and a
run that dies leaves a document half indexed. `append` with `unique=True` adds it once, in one atomic
call; in a transaction the document and all its postings are stored together or not at all.

    ads run examples/index_search.py --input '{"index": "examples"}'
    ads run examples/index_search.py --input '{"index": "docs", "by_hand": true}'
    ads run examples/index_search.py --input '{"query": "expiry"}'

A list of thousands of documents is better one record for each (word, document) pair, found by prefix:
see docs/patterns.md.
"""

import re
from pathlib import Path


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z][a-z0-9]{2,}", text.lower()))


def index_by_hand(name: str, text: str) -> int:
    documents, postings = data_store.use_namespace("documents"), data_store.use_namespace("keyword-index")
    known = documents.get(name, default={"text": ""})
    for word in words(text):
        names = postings.get(word, default=[])
        if name not in names:
            names.append(name)
            postings.set(word, names)  # what another run has stored since the get is lost
    for word in words(known["text"]) - words(text):
        postings.set(word, [other for other in postings.get(word, default=[]) if other != name])
    documents.set(name, {"text": text})
    return len(words(text))


def index(name: str, text: str) -> int:
    def attempt(tx) -> int:
        documents, postings = tx.use_namespace("documents"), tx.use_namespace("keyword-index")
        known = documents.get(name, default={"text": ""})
        for word in words(text):
            postings.append(word, name, unique=True)
        for word in words(known["text"]) - words(text):
            postings.set(word, [other for other in postings.get(word, default=[]) if other != name])
        documents.set(name, {"text": text})
        return len(words(text))

    return data_store.transact(attempt)


def search(query: str) -> list[dict]:
    wanted = words(query)
    lists = data_store.use_namespace("keyword-index").get_many(wanted)
    matches = set.intersection(*(set(lists.get(word, ())) for word in wanted)) if wanted else set()
    found = data_store.use_namespace("documents").get_many(sorted(matches))
    return [{"name": name, "characters": len(doc["text"])} for name, doc in found.items()]


async def run(input_dict: dict, tools: dict) -> dict:
    if "query" in input_dict:
        return {"results": search(input_dict["query"])}
    folder, index_document = Path(input_dict["index"]), index_by_hand if input_dict.get("by_hand") else index
    indexed = {}
    for path in sorted([*folder.rglob("*.py"), *folder.rglob("*.md")]):
        name = path.relative_to(folder).as_posix()
        indexed[name] = index_document(name, path.read_text(encoding="utf-8"))
    return {"indexed": indexed}
