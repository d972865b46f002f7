"""One contender in one scenario, in a process of its own: `worker.py <contender> <scenario> <folder> <plan as JSON>`.

It reads the names of what to do from stdin, one a line, and answers each with one line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from contenders import CONTENDERS, Unavailable
from scenario import Plan
from scenarios import SCENARIOS


def main() -> None:
    contender, name, folder, plan = sys.argv[1:]
    # Whatever a library prints must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def answer(**what: Any) -> None:
        answers.write(json.dumps(what) + "\n")

    peer = CONTENDERS[contender](Path(folder))
    try:
        peer.open()
    except Unavailable as error:
        answer(skipped=str(error))
        return
    except ImportError as error:
        answer(skipped=f"not installed: {error}")
        return
    scenario = SCENARIOS[name](Plan(**json.loads(plan)))
    try:
        for line in sys.stdin:
            command = line.strip()
            try:
                if command == "prepare":
                    answer(value=scenario.prepare(peer), versions=peer.versions())
                else:
                    answer(value=scenario.measure(command, peer))
            except NotImplementedError:
                answer(skipped="it has no such call")
            except Exception as error:
                traceback.print_exc()
                answer(error=f"{type(error).__name__}: {error}")
    finally:
        scenario.close()
        peer.close()


if __name__ == "__main__":
    main()
