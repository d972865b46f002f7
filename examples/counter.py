"""Running counter: count across runs, also when several runs count at the same time.

By hand one reads the number, adds one and writes it back. Two runs that read the same number then
store the same next one: a count is lost, and nothing tells. `increment` is one atomic call.

    ads run examples/counter.py --input '{"counter": "visits"}'
    ads run examples/counter.py --input '{"counter": "visits", "by_hand": true}'

Both work on the same record, so agents may change over one by one.
"""


def count_by_hand(key: str) -> int:
    number = data_store.get(key, default=0)
    number += 1
    data_store.set(key, number)  # what another run has stored since the get is lost
    return number


def count(key: str) -> int:
    return data_store.increment(key)


async def run(input_dict: dict, tools: dict) -> dict:
    key = input_dict.get("counter", "runs")
    return {"run_number": count_by_hand(key) if input_dict.get("by_hand") else count(key)}
