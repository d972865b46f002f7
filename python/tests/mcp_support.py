"""The store as clients of the Model Context Protocol reach it: each transport, the protocol of now and of before."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from helpers import Server
from mcp import Client, StdioServerParameters
from mcp.client.session import IncomingMessage
from mcp_types import (
    CallToolResult,
    Implementation,
    ResourceTemplateReference,
    ResourceUpdatedNotification,
    TextContent,
)

T = TypeVar("T")

TEMPLATE = ResourceTemplateReference(uri="ads://{namespace}/{key}")
DEADLINE_SECONDS = 60
# What one answer may have, unless a server is told otherwise.
BOUND = 20_000


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine; one that hangs is an error."""

    async def in_time() -> T:
        return await asyncio.wait_for(work, DEADLINE_SECONDS)

    return asyncio.run(in_time())


def text_of(result: CallToolResult) -> str:
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


@dataclass
class Assistant:
    """A client that is connected."""

    client: Client
    # The URIs of records of which it has heard, where the protocol has sessions.
    heard: asyncio.Queue[str]
    longest: int = 0

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        result = await self.client.call_tool(tool, arguments)
        assert not result.is_error, text_of(result)
        return self._answer(result)

    async def refused(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The error of a call; each says what to do next."""
        result = await self.client.call_tool(tool, arguments)
        assert result.is_error, text_of(result)
        error = self._answer(result)
        assert error["message"] and error["next"], error
        return error

    def _answer(self, result: CallToolResult) -> dict[str, Any]:
        text = text_of(result)
        self.longest = max(self.longest, len(text))
        answer = json.loads(text)
        assert isinstance(answer, dict)
        return answer

    async def walk(self, tool: str, **arguments: Any) -> list[dict[str, Any]]:
        """All parts of what is too long for one answer."""
        answers = [await self.call(tool, **arguments)]
        while cursor := answers[-1].get("cursor"):
            assert answers[-1]["cut"], answers[-1]
            answers.append(await self.call(tool, **arguments, cursor=cursor))
        return answers


@dataclass
class Way:
    """How clients reach one store."""

    mode: str
    store_url: str
    server: Server | None = None

    @asynccontextmanager
    async def assistant(self, *options: str, name: str = "assistant", agent: bool = True) -> AsyncIterator[Assistant]:
        heard: asyncio.Queue[str] = asyncio.Queue()

        async def hear(message: IncomingMessage) -> None:
            if isinstance(message, ResourceUpdatedNotification):
                heard.put_nowait(message.params.uri)

        target: StdioServerParameters | str = stdio(self.store_url, *options)
        if self.server is not None:
            assert not options
            target = f"{self.server.url}/mcp"
        information = Implementation(name=name, version="1") if agent else None
        async with Client(target, mode=self.mode, client_info=information, message_handler=hear, cache=None) as client:
            yield Assistant(client, heard)


def stdio(store_url: str, *options: str) -> StdioServerParameters:
    return StdioServerParameters(command=sys.executable, args=command(store_url, *options)[1:])


def command(store_url: str, *options: str) -> list[str]:
    return [sys.executable, "-m", "agent_data_store", "mcp", "--store", store_url, *options]
