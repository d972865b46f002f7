"""Index and search: find documents by the words in them, with a list of documents under each word.

By hand one reads the list of a word, appends the document and writes the list back, for every word of
every document. Of two runs that index at once, one may lose its document in some of the lists.
`append` with `unique=True` adds it once, in one atomic call, and `update` takes it out.

    ads run examples/index_search.py --input '{"index": "examples"}'
    ads run examples/index_search.py --input '{"index": "examples", "by_hand": true}'
    ads run examples/index_search.py --input '{"query": "expiry"}'

A list of thousands of documents is better one record for each (word, document) pair, found by prefix:
see docs/patterns.md.
"""

import re
from pathlib import Path

documents = data_store.use_namespace("documents")
postings = data_store.use_namespace("keyword-index")


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z][a-z0-9]{2,}", text.lower()))


def add_by_hand(word: str, name: str) -> None:
    names = postings.get(word, default=[])
    if name not in names:
        names.append(name)
        postings.set(word, names)  # what another run has stored since the get is lost


def add(word: str, name: str) -> None:
    postings.append(word, name, unique=True)


def remove(word: str, name: str) -> None:
    postings.update(word, lambda names: [other for other in names if other != name], default=[])


def index_document(name: str, text: str, by_hand: bool) -> int:
    known, found = documents.get(name), words(text)
    # Postings first: should this run die in between, the next one still compares with the old text
    # and repeats the work. The other way round, postings would be missing until the text changes.
    for word in found:
        (add_by_hand if by_hand else add)(word, name)
    for word in words(known["text"]) - found if known else ():
        remove(word, name)
    documents.set(name, {"text": text})
    return len(found)


def search(query: str) -> list[dict]:
    wanted = words(query)
    lists = postings.get_many(wanted)
    matches = set.intersection(*(set(lists.get(word, ())) for word in wanted)) if wanted else set()
    found = documents.get_many(sorted(matches))
    return [{"name": name, "characters": len(doc["text"])} for name, doc in found.items()]


async def run(input_dict: dict, tools: dict) -> dict:
    if "query" in input_dict:
        return {"results": search(input_dict["query"])}
    folder, by_hand = Path(input_dict["index"]), input_dict.get("by_hand", False)
    indexed = {}
    for path in sorted([*folder.rglob("*.py"), *folder.rglob("*.md")]):
        name = path.relative_to(folder).as_posix()
        indexed[name] = index_document(name, path.read_text(encoding="utf-8"), by_hand)
    return {"indexed": indexed}
