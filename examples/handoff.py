"""Handoff: one agent waits for what another one stores.

By hand one looks again and again, with pauses: long ones come late, short ones keep a processor busy.
`wait_for` returns the value as soon as it is there; `watch` gives every change from a position on,
none missed and none twice, also those that were made while nobody was watching.

    ads run examples/handoff.py --agent writer --input '{"role": "producer", "chapters": ["one", "two"]}'
    ads run examples/handoff.py --agent reader --input '{"role": "consumer", "timeout_seconds": 10}'
    ads run examples/handoff.py --agent editor --input '{"role": "follower", "timeout_seconds": 0.1}'
    ads run examples/handoff.py --agent reader --input '{"role": "consumer", "timeout_seconds": 10, "by_hand": true}'

The producer stores chapters and at the end "finished"; the consumer waits for that and reads them.
The follower prints which chapters have changed since its last run. From the shell: `ads wait` and
`ads changes --follow`.
"""

import asyncio
import time

book = data_store.use_namespace("book")


def produce(chapters: list[str]) -> dict:
    for number, text in enumerate(chapters):
        book.set(f"chapter:{number:03}", text)
    book.set("finished", len(chapters))  # last: whoever sees it finds all of them
    return {"stored": len(chapters)}


async def finished_by_hand(timeout_seconds: float) -> int:
    deadline = time.monotonic() + timeout_seconds
    pause_seconds = 0.01
    while (count := book.get("finished")) is None:
        if time.monotonic() >= deadline:
            raise TimeoutError(f"not finished after {timeout_seconds} s")
        await asyncio.sleep(pause_seconds)
        pause_seconds = min(2 * pause_seconds, 1)
    return count


async def finished(timeout_seconds: float) -> int:
    return await book.aio.wait_for("finished", timeout=timeout_seconds)


async def consume(timeout_seconds: float, by_hand: bool) -> dict:
    count = await (finished_by_hand if by_hand else finished)(timeout_seconds)
    return {"chapters": [book.get(f"chapter:{number:03}") for number in range(count)]}


def follow(timeout_seconds: float) -> dict:
    positions = data_store.use_namespace("positions")
    watch = book.watch("chapter:", since=positions.get("handoff", default=0), timeout=timeout_seconds)
    changed = [change.key for change in watch]
    positions.set("handoff", watch.position)
    return {"changed": changed}


async def run(input_dict: dict, tools: dict) -> dict:
    if input_dict["role"] == "producer":
        return produce(input_dict["chapters"])
    if input_dict["role"] == "follower":
        return follow(input_dict["timeout_seconds"])
    return await consume(input_dict["timeout_seconds"], input_dict.get("by_hand", False))
