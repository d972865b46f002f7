"""The Model Context Protocol, driven by its official client library."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from helpers import Server
from mcp import MCPError
from mcp_support import BOUND, TEMPLATE, Assistant, Way, run
from mcp_types import Resource, TextResourceContents

from agent_data_store import connect

# The names under which records are written here, with all that a name may hold.
NAMES = ["plain", "a:b/c?d=e#f", "100% sure", "日本\n", '"quoted" \\', ".", "a&cursor=v1:2"]

pytestmark = pytest.mark.filterwarnings("ignore:resources.*removed as of")


@pytest.fixture(params=["stdio", "stdio before 2026-07-28", "http", "http before 2026-07-28"])
def way(request: pytest.FixtureRequest, file_url: str) -> Iterator[Way]:
    url = f"{file_url}?durability=relaxed"
    mode = "legacy" if "before" in request.param else "auto"
    if request.param.startswith("stdio"):
        yield Way(mode, url)
        return
    server = Server(url)
    yield Way(mode, url, server)
    server.kill()


def test_every_tool_does_what_it_says(way: Way) -> None:
    called = set()

    async def drive() -> None:
        async with way.assistant() as assistant:

            async def call(tool: str, **arguments: Any) -> dict[str, Any]:
                called.add(tool)
                return await assistant.call(tool, namespace="n", **arguments)

            value = {"zoo": [1, 2.50], "big": 12345678901234567890123, "日本": None}
            stored = await call("set", key="k", value=value, ttl=3600, metadata={"source": "test"})
            found = await call("get", key="k", bookkeeping=True)
            assert (found["found"], found["version"]) == (True, stored["version"])
            assert json.dumps(found["value"]) == json.dumps(value), "as it was sent, in its order"
            assert found["record"]["metadata"] == {"source": "test"} and found["expiresAt"]
            assert (await call("get", key="k", path="/zoo/1"))["value"] == 2.5
            assert not (await call("get", key="missing"))["found"]
            assert (await call("set", key="null", value=None))["version"]
            assert (await call("get", key="null"))["value"] is None
            assert (await call("increment", key="count"))["value"] == 1
            assert (await call("increment", key="count", by=-2.5))["value"] == -1.5
            assert (await call("append", key="list", item={"n": 1}))["length"] == 1
            assert (await call("append", key="list", item={"n": 1}, unique=True))["length"] == 1
            assert (await call("append", key="list", item=None, max_length=1))["length"] == 1
            assert (await call("merge", key="count", patch={"a": {"b": 1}}))["value"] == {"a": {"b": 1}}
            many = await call("get_many", keys=["list", "missing", "null"])
            assert [record.get("value", "none") for record in many["records"]] == [[None], "none", None]
            listed = await call("list_keys")
            assert (listed["total"], listed["keys"]) == (4, ["count", "k", "list", "null"])
            (preview,) = (await call("list_keys", prefix="li", show="previews"))["keys"]
            assert (preview["key"], preview["preview"], preview["characters"]) == ("list", "[null]", 6)
            assert (await call("search", text="IST"))["found"] == [{"namespace": "n", "key": "list"}]
            called.add("list_namespaces")
            (namespace,) = (await assistant.call("list_namespaces", prefix="n"))["namespaces"]
            assert (namespace["namespace"], namespace["records"]) == ("n", 4)
            assert namespace["agents"] == ["assistant"]
            lock = await call("lock", resource="report", ttl_seconds=60)
            held = await assistant.refused("lock", namespace="n", resource="report")
            assert (held["code"], held["holder"]) == ("lease_held", "assistant")
            renewed = await call("lock", resource="report", token=lock["token"])
            assert renewed["token"] == lock["token"] and renewed["expiresAt"] > lock["expiresAt"]
            assert (await call("unlock", resource="report", token=lock["token"]))["released"]
            assert (await assistant.refused("unlock", namespace="n", resource="report", token=1))[
                "code"
            ] == "lease_lost"
            await call("set", key="task:1", value={"do": "this"})
            task = (await call("claim", prefix="task:", ttl_seconds=60))["task"]
            assert (task["key"], task["value"], task["attempt"]) == ("task:1", {"do": "this"}, 1)
            assert (await call("claim", prefix="task:"))["task"] is None
            kept = (await call("claim", key="task:1", token=task["token"]))["task"]
            ended = await call("complete", key="task:1", token=kept["token"], error="not now", retry_in_seconds=0)
            assert ended["ended"] == "given back"
            task = (await call("claim", prefix="task:"))["task"]
            assert (task["attempt"], task["lastError"]) == (2, "not now")
            assert (await call("complete", key="task:1", token=task["token"], result=[1]))["ended"] == "done"
            done = await assistant.call("get", namespace="tasks-done:n", key="task:1")
            assert done["value"] == [1]
            waited = await call("wait_for", key="k", since_version=stored["version"] - 1)
            assert waited["value"] == found["value"]
            assert not (await call("wait_for", key="later", timeout_seconds=0.01))["found"]
            assert (await call("delete", key="k"))["deleted"] and not (await call("delete", key="k"))["deleted"]
            listed_tools = {tool.name for tool in (await assistant.client.list_tools()).tools}
            assert listed_tools == called

    run(drive())


def test_tools_say_what_they_take_and_what_they_do(way: Way) -> None:
    async def look() -> None:
        async with way.assistant() as assistant:
            listed = (await assistant.client.list_tools()).tools
            assert len(json.dumps([tool.model_dump(mode="json", exclude_none=True) for tool in listed])) < BOUND
            for tool in listed:
                assert tool.description and tool.annotations is not None
                assert tool.input_schema["additionalProperties"] is False
                for name, schema in tool.input_schema["properties"].items():
                    assert schema["description"] and ("type" in schema or "enum" in schema), (tool.name, name)
            effects = {
                tool.name: (
                    tool.annotations.read_only_hint,
                    tool.annotations.destructive_hint,
                    tool.annotations.idempotent_hint,
                )
                for tool in listed
                if tool.annotations is not None
            }
            assert effects["get"] == (True, False, True)
            assert effects["set"] == (False, True, True)
            assert effects["append"] == (False, False, False)
            assert sum(reads is True for reads, _, _ in effects.values()) == 6

    run(look())


def test_records_are_resources(way: Way) -> None:
    async def look() -> None:
        async with way.assistant() as assistant:
            for name in NAMES:
                await assistant.call("set", namespace=name, key=name, value={"name": name})
            listed = await assistant.client.list_resources()
            assert sorted(resource.name for resource in listed.resources) == sorted(NAMES)
            for resource in listed.resources:
                (content,) = (await assistant.client.read_resource(resource.uri)).contents
                assert isinstance(content, TextResourceContents)
                assert json.loads(content.text) == {"name": resource.name}
                assert content.mime_type == "application/json"
            (template,) = (await assistant.client.list_resource_templates()).resource_templates
            assert template.uri_template == TEMPLATE.uri
            for uri in ["ads://plain/missing", "ads://plain", "http://plain/plain"]:
                with pytest.raises(MCPError):
                    await assistant.client.read_resource(uri)

    run(look())


def test_names_are_completed(way: Way) -> None:
    with connect(way.store_url) as store:
        for namespace in ["project:one", "project:two", "other"]:
            store.use_namespace(namespace).set("k", 1)
        store.use_namespace("project:one").set_many({f"key:{n:03}": n for n in range(150)})

    async def complete() -> None:
        async with way.assistant() as assistant:
            completed = await assistant.client.complete(TEMPLATE, {"name": "namespace", "value": "project:"})
            assert completed.completion.values == ["project:one", "project:two"]
            completed = await assistant.client.complete(
                TEMPLATE, {"name": "key", "value": "key:"}, {"namespace": "project:one"}
            )
            assert len(completed.completion.values) == 100
            assert (completed.completion.total, completed.completion.has_more) == (150, True)
            with pytest.raises(MCPError, match="namespace"):
                await assistant.client.complete(TEMPLATE, {"name": "key", "value": ""})
            with pytest.raises(MCPError, match="namespace and key"):
                await assistant.client.complete(TEMPLATE, {"name": "user", "value": ""})

    run(complete())


def test_subscribers_hear_of_what_others_write(way: Way) -> None:
    name = NAMES[1]
    uri, unseen = f"ads://{'a%3Ab%2Fc%3Fd%3De%23f'}/{'a%3Ab%2Fc%3Fd%3De%23f'}", "ads://n/unseen"

    async def hear(assistant: Assistant, write: Any) -> list[str]:
        async def next_uri() -> str:
            return await asyncio.wait_for(assistant.heard.get(), 20)

        if way.mode == "legacy":
            await assistant.client.subscribe_resource(uri)
            write(1)
            first = await next_uri()
            await assistant.client.unsubscribe_resource(uri)
            await assistant.client.subscribe_resource(unseen)
            write(2)
            return [first, await next_uri()]
        async with assistant.client.listen(resource_subscriptions=[uri]) as events:
            write(1)
            first = (await anext(events)).uri  # type: ignore[union-attr]
        async with assistant.client.listen(resource_subscriptions=[unseen]) as events:
            write(2)
            return [first, (await anext(events)).uri]  # type: ignore[union-attr]

    async def follow() -> None:
        with connect(way.store_url, agent="writer") as store:

            def write(step: int) -> None:
                store.use_namespace(name).set(name, step)
                if step == 2:
                    # A clear concerns every record of the namespace.
                    store.use_namespace("n").set("other", 1)
                    store.use_namespace("n").clear()

            async with way.assistant() as assistant:
                assert await hear(assistant, write) == [uri, unseen]

    run(follow())


def test_agents_and_assistants_read_each_other_and_it_is_known_who_wrote(way: Way) -> None:
    async def exchange() -> None:
        with connect(way.store_url, agent="crawler") as store:
            async with way.assistant(name="claude-code") as assistant:
                store.set("page", {"title": "Home", "words": 12})
                found = await assistant.call("get", key="page", bookkeeping=True)
                assert found["value"] == {"title": "Home", "words": 12}
                assert (found["record"]["createdByAgent"], found["record"]["updatedByAgent"]) == ("crawler", "crawler")
                await assistant.call("merge", key="page", patch={"summary": "short"})
                await assistant.call("set", key="note", value="from the assistant")
                page, note = store.get_record("page"), store.get_record("note")
                assert page is not None and note is not None
                assert page.value == {"title": "Home", "words": 12, "summary": "short"}
                assert (page.created_by_agent, page.updated_by_agent) == ("crawler", "claude-code")
                assert (note.value, note.created_by_agent) == ("from the assistant", "claude-code")

    run(exchange())


def test_a_long_value_is_read_part_by_part_within_the_bound(way: Way) -> None:
    value = {"head": "short", "rows": [{"n": n, "text": '日本 "quoted" \\ and more ' * 3} for n in range(60_000)]}
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    assert len(text.encode()) > 5_000_000

    async def read() -> None:
        with connect(way.store_url, agent="writer") as store:
            store.set("long", value)
            stored = len(text)
            async with way.assistant() as assistant:
                first = await assistant.call("get", key="long")
                assert first["characters"] == stored and "value" not in first
                assert first["outline"] == {"type": "object", "members": 2, "memberNames": ["head", "rows"]}
                assert (await assistant.call("get", key="long", path="/rows/59999/n"))["value"] == 59_999
                inner = await assistant.call("get", key="long", path="/rows")
                assert inner["outline"] == {"type": "array", "items": 60_000}
                (preview,) = (await assistant.call("get_many", keys=["long"]))["records"]
                assert preview["characters"] == stored and text.startswith(preview["preview"])
                merged = await assistant.call("merge", key="long", patch={"head": "other"})
                assert merged["characters"] == stored and "value" not in merged
                assert assistant.longest <= BOUND
                error = await assistant.refused("get", key="long", cursor=first["cursor"])
                assert error["code"] == "conflict", "the value has changed between two parts"
                store.set("long", value)
                if way.mode != "legacy":
                    parts = await assistant.walk("get", key="long")
                    assert "".join(part["text"] for part in parts) == text
                    assert assistant.longest <= BOUND
                uri: str | None = "ads://default/long"
                read, parts_read = "", 0
                while uri is not None and parts_read < 20:
                    contents = (await assistant.client.read_resource(uri)).contents
                    assert sum(len(part.text) for part in contents if isinstance(part, TextResourceContents)) <= BOUND
                    assert isinstance(contents[0], TextResourceContents)
                    read, parts_read = read + contents[0].text, parts_read + 1
                    uri = contents[1].uri if len(contents) > 1 else None
                assert text.startswith(read) and len(read) > 150_000

    run(read())


def test_a_long_list_is_walked_within_the_bound(way: Way) -> None:
    keys = [f"key:{n:06}" for n in range(100_000)]
    with connect(way.store_url) as store:
        store.use_namespace("many").set_many(dict.fromkeys(keys, 0))
        store.use_namespace("few").set("one key:099999", 0)

    async def walk() -> None:
        async with way.assistant() as assistant:
            pages = await assistant.walk("list_keys", namespace="many")
            assert [key for page in pages for key in page["keys"]] == keys
            assert {page["total"] for page in pages} == {100_000}
            found = await assistant.walk("search", text="KEY:0999")
            assert [hit["key"] for page in found for hit in page["found"]] == ["one key:099999", *keys[99_900:100_000]]
            previews = await assistant.call("list_keys", namespace="many", show="previews", limit=3)
            assert [preview["key"] for preview in previews["keys"]] == keys[:3] and previews["cursor"]
            some = await assistant.walk("get_many", namespace="many", keys=keys[:1000])
            assert [record["key"] for page in some for record in page["records"]] == keys[:1000]
            assert assistant.longest <= BOUND
            page = await assistant.client.list_resources()
            assert len(page.model_dump_json(exclude_none=True)) <= BOUND
            following = await assistant.client.list_resources(cursor=page.next_cursor)
            names = [resource.name for resource in [*page.resources, *following.resources]]
            assert names == ["one key:099999", *keys][: len(names)] and len(names) > 100

    run(walk())


def test_long_names_leave_answers_within_the_bound(way: Way) -> None:
    namespace = '"' * 512
    keys = [f"{n:02}" + '"' * 1022 for n in range(30)]
    with connect(way.store_url) as store:
        store.use_namespace(namespace).set_many(dict.fromkeys(keys, "x" * 30000))

    async def read() -> None:
        async with way.assistant() as assistant:
            for show in ["keys", "previews"]:
                pages = await assistant.walk("list_keys", namespace=namespace, show=show)
                found = [key if isinstance(key, str) else key["key"] for page in pages for key in page["keys"]]
                assert found == keys
            pages = await assistant.walk("search", text='"')
            assert [hit["key"] for page in pages for hit in page["found"]] == keys
            pages = await assistant.walk("get_many", namespace=namespace, keys=keys)
            assert [record["key"] for page in pages for record in page["records"]] == keys
            parts = await assistant.walk("get", namespace=namespace, key=keys[0], bookkeeping=True)
            assert "".join(part["text"] for part in parts) == json.dumps("x" * 30_000)
            assert assistant.longest <= BOUND
            listed: list[Resource] = []
            cursor: str | None = None
            while cursor or not listed:
                page = await assistant.client.list_resources(cursor=cursor)
                assert len(page.model_dump_json(by_alias=True, exclude_none=True)) <= BOUND
                listed, cursor = [*listed, *page.resources], page.next_cursor
            assert [resource.name for resource in listed] == keys
            read = await assistant.client.read_resource(listed[0].uri)
            assert len(read.model_dump_json(by_alias=True, exclude_none=True)) <= BOUND
            completed = await assistant.client.complete(
                TEMPLATE, {"name": "key", "value": ""}, {"namespace": namespace}
            )
            assert len(completed.model_dump_json(by_alias=True, exclude_none=True)) <= BOUND
            assert completed.completion.has_more and completed.completion.total == 30

    run(read())


def test_mistakes_are_told_and_change_nothing(way: Way) -> None:
    async def err() -> None:
        async with way.assistant() as assistant:
            await assistant.call("set", key="k", value=[1])
            mistakes: list[tuple[str, dict[str, Any], str]] = [
                ("get", {}, "key is missing"),
                ("get", {"key": ""}, "key is empty"),
                ("get", {"key": 7}, "key is not a string"),
                ("get", {"key": "k", "namespace": "n" * 513}, "over the limit"),
                ("get", {"key": "k", "path": "zoo"}, "begin with /"),
                ("get", {"key": "k", "path": "/1"}, "leads nowhere"),
                ("get", {"key": "k", "cursor": "x"}, "cursor"),
                ("get", {"key": "k", "keys": ["k"]}, 'no argument "keys"'),
                ("set", {"key": "k"}, "value is missing"),
                ("set", {"key": "k", "value": 1, "ttl": -1}, "ttl"),
                ("set", {"key": "k", "value": 1, "ttl": 0}, "not positive"),
                ("set", {"key": "k", "value": 1, "if_version": 1.5}, "if_version"),
                ("set", {"key": "k", "value": 1, "metadata": []}, "metadata"),
                ("set", {"key": "k", "value": "\0" * 3_000_000}, "over the limit"),
                ("increment", {"key": "k"}, "number"),
                ("append", {"key": "k", "item": 1, "max_length": "2"}, "max_length"),
                ("get_many", {"keys": "k"}, "keys is not a list"),
                ("list_keys", {"limit": 0}, "limit is 0"),
                ("list_keys", {"show": "all"}, "show is not one of"),
                ("search", {"text": ""}, "text is empty"),
                ("lock", {"resource": "r", "ttl_seconds": 0}, "ttl_seconds"),
                ("claim", {"key": "k"}, "go together"),
                ("complete", {"key": "k", "token": 1, "retry_in_seconds": 1}, "goes with error"),
            ]
            for tool, arguments, told in mistakes:
                error = await assistant.refused(tool, **arguments)
                assert told in error["message"], (tool, arguments, error)
            with pytest.raises(MCPError, match="the tools are get, set"):
                await assistant.client.call_tool("remember", {})
            assert (await assistant.call("get", key="k"))["value"] == [1]
            conflict = await assistant.refused("set", key="k", value=2, if_version=0)
            assert (conflict["code"], conflict["actualVersion"]) == ("conflict", 1)
            assert (await assistant.call("list_namespaces"))["namespaces"][0]["records"] == 1

    run(err())


def test_a_call_that_is_taken_back_ends_and_the_next_is_answered(way: Way) -> None:
    async def cancel() -> None:
        async with way.assistant() as assistant:
            started = time.monotonic()
            waiting = asyncio.create_task(assistant.client.call_tool("wait_for", {"key": "k", "timeout_seconds": 50}))
            await assistant.call("set", key="other", value=1)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert (await assistant.call("get", key="other"))["value"] == 1
        assert time.monotonic() - started < 40, "nobody waits for the time that was taken back"

    run(cancel())


def test_one_waits_for_what_another_stores(way: Way) -> None:
    async def hand_over() -> None:
        async with way.assistant(name="planner") as planner, way.assistant(name="builder") as builder:
            waiting = asyncio.create_task(builder.call("wait_for", key="plan", timeout_seconds=30))
            await planner.call("set", key="plan", value=["first"])
            assert (await waiting)["value"] == ["first"]

    run(hand_over())


@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_two_servers_on_one_file_lose_nothing_of_what_eight_clients_write_at_once(
    file_url: str, transport: str
) -> None:
    url = f"{file_url}?durability=relaxed"
    clients, each = 8, 125
    servers = [Server(url), Server(url)] if transport == "http" else [None, None]
    ways = [Way("auto" if number % 2 else "legacy", url, servers[number // 4]) for number in range(clients)]

    async def write(number: int, way: Way) -> None:
        async with way.assistant(name=f"client-{number}") as assistant:
            for step in range(each):
                await assistant.call("append", key="list", item=[number, step])
                await assistant.call("increment", key="count")

    async def together() -> None:
        await asyncio.gather(*(write(number, way) for number, way in enumerate(ways)))

    try:
        run(together())
    finally:
        for server in servers:
            if server is not None:
                server.kill()
    with connect(url) as store:
        written = store.get("list")
        assert store.get("count") == clients * each == len(written) == 1000
        for number in range(clients):
            assert [step for client, step in written if client == number] == list(range(each)), "in its order"
