"""What looking for likely credentials adds to a write."""

from __future__ import annotations

import gc
from typing import Any

import data
from contenders import Peer
from scenario import Scenario, overwriting


class Credentials(Scenario):
    """Writes that do not wait for the disk: it would hide what is looked for here."""

    name = "credentials"
    title = "relaxed set, looked through for credentials"
    contenders = ("ours-relaxed", "ours-unchecked")
    measures = ("set_200", "set_4k")
    writes = True
    records = 1_000

    def supports(self, peer: type[Peer]) -> bool:
        return peer.has("set")

    def prepare(self, peer: Peer) -> dict[str, Any]:
        self.done = 0
        self.values = {"set_200": data.pool(data.SMALL_BYTES), "set_4k": data.pool(data.LARGE_BYTES)}
        for measure in self.measures:
            peer.namespace(measure).fill(0, self.records, self.values[measure])
            self.measure(measure, peer)
        return {}

    def measure(self, name: str, peer: Peer) -> float:
        count = self.records
        self.done += 2 * count
        start = self.done - count
        # Other processes ran since the last slice.
        space = peer.namespace(name)
        space.time("set", overwriting(start - count, count // 5, self.records, self.values[name]))
        calls = overwriting(start, count, self.records, self.values[name])
        gc.collect()
        return space.time("set", calls) / count
