"""Namespace discovery: find what other agents stored without knowing its names.

Sums up every namespace that begins with a prefix. `namespaces()` has the counts without reading a
record; only the five sample keys are read, and `items` stops after them.

    ads run examples/dynamic_namespaces.py --input '{"folder": "examples"}'
    ads run examples/namespace_discovery.py --input '{"prefix": "tree:"}'
"""

from itertools import islice


async def run(input_dict: dict, tools: dict) -> dict:
    prefix = input_dict.get("prefix", "tree:")
    stats = {each.namespace: each for each in data_store.namespaces()}

    summary = {}
    for namespace in data_store.list_namespaces(prefix=prefix):
        first = islice(data_store.use_namespace(namespace).items(page_size=5), 5)
        summary[namespace] = {
            "records": stats[namespace].records if namespace in stats else 0,
            "agents": list(stats[namespace].agents) if namespace in stats else [],
            "sample": [key for key, _ in first],
        }
    return {"prefix": prefix, "matches": len(summary), "summary": summary}
