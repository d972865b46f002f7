"""Cache-aside: look in the store first, compute only what is missing, keep what was computed.

By hand, all runs that miss at the same time compute. With `cached` one of them does, in whatever
process, and the others wait for its result; should it die, the next one takes over.

    ads run examples/cache_aside.py --input '{"file": "examples/cache_aside.py"}'
    ads run examples/cache_aside.py --input '{"file": "examples/cache_aside.py", "by_hand": true}'

Outlines a Python file (its classes and functions). The key carries the hash of the content, so a
changed file is a miss by itself and nothing has to be invalidated. Run it twice: the second answer
has `"source": "cache"`.
"""

import ast
import hashlib
from pathlib import Path

cache = data_store.use_namespace("outlines")
computed = []


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def outline(text: str) -> list[dict]:
    computed.append(text)
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return [
        {"name": node.name, "line": node.lineno, "kind": type(node).__name__}
        for node in ast.walk(ast.parse(text))
        if isinstance(node, kinds)
    ]


def outline_by_hand(text: str) -> list[dict]:
    # None marks a miss here because an outline is never None; an empty one is still a hit.
    found = cache.get(digest(text))
    if found is None:
        found = outline(text)  # and so may another run, at the same time
        cache.set(digest(text), found)
    return found


# Without a `key` of its own the key would be the name of the function and its arguments.
cached_outline = cache.cached(key=digest)(outline)


async def run(input_dict: dict, tools: dict) -> dict:
    text = Path(input_dict["file"]).read_text(encoding="utf-8")
    found = outline_by_hand(text) if input_dict.get("by_hand") else cached_outline(text)
    return {"outline": found, "source": "computed" if computed else "cache"}
