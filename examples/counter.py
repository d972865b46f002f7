"""Running counter: count across runs, also when several runs count at the same time.

Reading a number and writing it back plus one loses counts when two runs read the same number.
`if_version` makes the second of two such writes fail instead, and the loop then reads again.

    ads run examples/counter.py --input '{"counter": "visits"}'
"""

from agent_data_store import ConflictError


def count_one(key: str) -> int:
    while True:
        record = data_store.get_record(key)
        number = record.value + 1 if record else 1
        try:
            # Version 0 stands for "there is no such record".
            data_store.set(key, number, if_version=record.version if record else 0)
            return number
        except ConflictError:
            continue  # another run wrote in between


async def run(input_dict: dict, tools: dict) -> dict:
    return {"run_number": count_one(input_dict.get("counter", "runs"))}
