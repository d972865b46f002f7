"""Write-through: always compute, always store, so that other agents read the latest result.

Counts the lines, words and bytes of a file and writes them to the namespace `analysis`.

    ads run examples/write_through.py --input '{"file": "examples/README.md"}'

Another agent, or you, then reads the result without computing it:

    ads get examples/README.md --namespace analysis
"""

from pathlib import Path


def analyze(content: bytes) -> dict:
    words = content.decode("utf-8", errors="replace").split()
    return {"bytes": len(content), "lines": content.count(b"\n"), "words": len(words)}


async def run(input_dict: dict, tools: dict) -> dict:
    path = input_dict["file"]
    analysis = analyze(Path(path).read_bytes())
    data_store.use_namespace("analysis").set(path, analysis)
    return analysis
