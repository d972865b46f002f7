"""Agent Data Store itself, as its users open it."""

from __future__ import annotations

from importlib.metadata import version

from contenders.base import Peer, Unavailable


class Ours(Peer):
    name = "ours"
    title = "Agent Data Store"
    synced = True
    query = ""

    # Bound to the store's own methods, so that no wrapper is timed.
    verbs = ("get", "set", "set_many", "get_many", "get_all", "list_keys", "list_namespaces", "items", "clear")

    def open(self) -> None:
        try:
            import agent_data_store
        except ImportError as error:
            raise Unavailable(f"agent_data_store is not installed: {error}") from None
        url = f"sqlite://{self.folder / 'store.db'}{self.query}"
        self.store = agent_data_store.connect(url, user="bench", agent="bench", namespace=self.space)
        self.bind()

    def bind(self) -> None:
        view = self.store.use_namespace(self.space)
        for verb in self.verbs:
            setattr(self, verb, getattr(view, verb))

    def close(self) -> None:
        self.store.close()

    def versions(self) -> dict[str, str]:
        return {"agent-data-store": version("agent-data-store")}


class OursRelaxed(Ours):
    name = "ours-relaxed"
    title = "Agent Data Store, relaxed"
    synced = False
    query = "?durability=relaxed"
    note = "durability=relaxed: the last writes may be lost in a power cut"


class OursUncached(Ours):
    name = "ours-uncached"
    title = "Agent Data Store, no cache"
    query = "?cache_bytes=0"
    note = "cache_bytes=0: every read is one of SQLite's"
