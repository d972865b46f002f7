"""The Model Context Protocol over HTTP: what a subscription hears, and when it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
from helpers import Server
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import SubscriptionLost
from mcp_support import run

from agent_data_store import connect


@asynccontextmanager
async def client(server: Server, token: str | None = None) -> AsyncIterator[Client]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as http,
        Client(streamable_http_client(f"{server.url}/mcp", http_client=http)) as connected,
    ):
        yield connected


def ads(file_url: str, *arguments: str) -> str:
    command = [sys.executable, "-m", "agent_data_store", "--store", file_url, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_a_subscription_hears_only_what_its_token_reaches_and_ends_with_it(file_url: str, server: Server) -> None:
    issued = json.loads(ads(file_url, "token", "create", "--user", "alice", "--namespace", "open:*", "--json"))

    async def follow() -> None:
        with connect(file_url, user="alice") as store:
            open_to_it, hidden = store.use_namespace("open:1"), store.use_namespace("hidden")
            async with client(server, issued["secret"]) as connected:
                with pytest.raises((MCPError, SubscriptionLost)):
                    async with connected.listen(resource_subscriptions=["ads://hidden/k"]) as events:
                        hidden.set("k", 1)
                        await anext(events)
                async with connected.listen(resource_subscriptions=["ads://open%3A1/k"]) as events:
                    hidden.set("k", 2)
                    open_to_it.set("k", 1)
                    assert (await anext(events)).uri == "ads://open%3A1/k"  # type: ignore[union-attr]
                    ads(file_url, "token", "revoke", issued["token"]["id"])
                    open_to_it.set("k", 2)
                    with pytest.raises((MCPError, SubscriptionLost)):
                        await anext(events)

    run(follow())


def test_a_server_that_stops_ends_subscriptions_and_does_not_wait_for_them(file_url: str) -> None:
    server = Server(file_url)

    async def follow() -> None:
        async with client(server) as connected:
            with pytest.raises((MCPError, SubscriptionLost, StopAsyncIteration)):
                async with connected.listen(resource_subscriptions=["ads://n/k"]) as events:
                    server.terminate()
                    await anext(events)

    run(follow())
    assert server.wait() == 0
