"""Keys and values of the kind that agents store, the same in every run."""

from __future__ import annotations

import json
import random
from typing import Any

encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

SMALL_BYTES = 200
LARGE_BYTES = 4096
# Enough distinct values that no parser's string cache sees one and the same text all the time.
POOL = 64

_VOCABULARY = (
    "cache index parser token stream batch writer reader session merge config schema retry network timeout handler "
    "queue worker state commit record page lock update event résumé request response header payload cursor shard "
    "filter router policy secret budget agent prompt tool result summary embedding vector document chunk score label "
    "branch patch review build deploy metric alert trace span sample window bucket lease claim"
)
_WORDS = _VOCABULARY.split()


def key(number: int) -> str:
    """The key with this number; 100 successive keys share the prefix that `prefix` gives."""
    return f"{prefix(number)}{number % 100:02d}"


def prefix(number: int) -> str:
    return f"project:{number // 100:06d}:file:"


def pool(size_bytes: int) -> list[Any]:
    """`POOL` values whose compact JSON text is about `size_bytes` long."""
    rng = random.Random(size_bytes)
    if size_bytes == SMALL_BYTES:
        return [_summary(rng) for _ in range(POOL)]
    return [_analysis(rng, size_bytes) for _ in range(POOL)]


def _sentence(rng: random.Random, words: int) -> str:
    return " ".join(rng.choices(_WORDS, k=words)).capitalize() + "."


def _summary(rng: random.Random) -> dict[str, Any]:
    return {
        "path": f"src/{rng.choice(_WORDS)}/{rng.choice(_WORDS)}.py",
        "lines": rng.randrange(20, 2000),
        "score": round(rng.random(), 4),
        "tags": rng.sample(_WORDS, 3),
        "summary": _sentence(rng, 7),
        "reviewed": rng.random() < 0.5,
        "tokens": [rng.randrange(100, 9999), rng.randrange(10, 999)],
        "error": None,
    }


def _analysis(rng: random.Random, size_bytes: int) -> dict[str, Any]:
    """One file's analysis: functions with nested facts, added until the size is reached."""
    value: dict[str, Any] = {
        "file": f"src/{rng.choice(_WORDS)}/{rng.choice(_WORDS)}_{rng.randrange(1000)}.py",
        "language": "python",
        "analyzed_at": 1760000000 + rng.randrange(10**6),
        "coverage": rng.random(),
        "imports": rng.sample(_WORDS, 8),
        "history": [rng.randrange(10**6) for _ in range(20)],
        "functions": [],
    }
    # The text of each part is its own length plus a comma, so the whole need not be encoded again.
    length = len(encode(value).encode())
    while length < size_bytes - 140:
        function = {
            "name": "_".join(rng.choices(_WORDS, k=2)),
            "line": rng.randrange(1, 2000),
            "complexity": round(rng.uniform(1, 30), 2),
            "calls": ["_".join(rng.sample(_WORDS, 2)) for _ in range(3)],
            "async": rng.random() < 0.3,
            "doc": _sentence(rng, 16),
        }
        value["functions"].append(function)
        length += len(encode(function).encode()) + 1
    return value
