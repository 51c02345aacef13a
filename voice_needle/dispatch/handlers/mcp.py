"""Makes the tools of any MCP server (Model Context Protocol) into voice tools, through the official SDK (extra: mcp).

    plugin: files
    description: ...
    mcp: {command: [npx-or-any-program, argument], environment: {TOKEN: "{settings.token}"}}   # or url: http://host:port/mcp
    tools:                     # optional: sentences, policy and phrases for tools that the server offers
      read_note: {description: ..., handler: {mcp: {tool: readNote}}, ...}

Tools that the manifest does not name are offered as the server describes them. What their annotations leave open is taken
carefully: a tool that may destroy something asks first.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

from voice_needle.dispatch.handlers.template import Filler
from voice_needle.dispatch.manifest import Manifest
from voice_needle.dispatch.watch import Watch
from voice_needle.errors import EngineMissing, ToolFailed, ToolTimeout, ToolUnreachable
from voice_needle.plugin import Context, Result
from voice_needle.tools import Confirm, Policy, Risk, Say, Tool

try:
    import httpx
    from mcp import ClientSession, McpError, StdioServerParameters
    from mcp.client.stdio import stdio_client
    from mcp.client.streamable_http import streamable_http_client
    from mcp.types import TextContent
except ImportError as missing:  # pragma: no cover
    raise EngineMissing("MCP servers need the MCP SDK", fix="pip install 'voice-needle[mcp]'") from missing

log = logging.getLogger(__name__)
_START_S = 10.0
_LONGEST_CALL_S = 600.0  # the dispatcher's own limit is the one that counts


class Server:
    """One MCP server: started at first use, started again after it died. One task owns the connection."""

    def __init__(self, manifest: Manifest, context: Context) -> None:
        self._manifest = manifest
        self._context = context
        self._task: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[ClientSession] | None = None
        self._stop = asyncio.Event()

    async def session(self) -> ClientSession:
        """Errors: ToolUnreachable."""
        if self._task is None or self._task.done():
            self._ready = asyncio.get_running_loop().create_future()
            self._stop = asyncio.Event()
            self._task = asyncio.create_task(self._serve(self._ready, self._stop), name=f"mcp {self._manifest.plugin}")
        assert self._ready is not None
        try:
            async with asyncio.timeout(_START_S):
                return await asyncio.shield(self._ready)
        except TimeoutError as error:
            raise ToolUnreachable(f"the MCP server of {self._manifest.plugin} did not start in time") from error

    async def _serve(self, ready: asyncio.Future[ClientSession], stop: asyncio.Event) -> None:
        try:
            async with self._transport() as (read, write), ClientSession(read, write) as session:
                await session.initialize()
                ready.set_result(session)
                await stop.wait()
        except Exception as error:
            if ready.done():
                log.warning("the MCP server of %s is gone: %s", self._manifest.plugin, error)
            else:
                what = f"the MCP server of {self._manifest.plugin} cannot be reached: {_innermost(error)}"
                ready.set_exception(ToolUnreachable(what))
                ready.exception()  # told to whoever waits; nobody may

    @contextlib.asynccontextmanager
    async def _transport(self) -> AsyncIterator[tuple[Any, Any]]:
        declared = self._manifest.mcp or {}
        filler = Filler(self._context, {})
        if "url" in declared:
            headers = {name: filler.text(value) for name, value in (declared.get("headers") or {}).items()}
            async with (
                httpx.AsyncClient(headers=headers, timeout=httpx.Timeout(30.0, read=_LONGEST_CALL_S)) as client,
                streamable_http_client(filler.text(declared["url"]), http_client=client) as (read, write, _),
            ):
                yield read, write
            return
        argv = [filler.text(part) for part in declared.get("command") or ()]
        if not argv:
            raise ToolFailed("an MCP server needs a command or a url", fix="voice-needle tools check")
        environment = {name: filler.text(value) for name, value in (declared.get("environment") or {}).items()}
        folder = str(self._manifest.folder)
        parameters = StdioServerParameters(command=argv[0], args=argv[1:], env=environment or None, cwd=folder)
        async with stdio_client(parameters) as (read, write):
            yield read, write

    async def tools(self) -> list[Tool]:
        """The server's tools that the manifest does not name itself. Errors: ToolUnreachable."""
        session = await self.session()
        named = {
            (tool.handler.get("mcp") or {}).get("tool") or tool.name
            for tool in self._manifest.tools
            if "mcp" in tool.handler
        }
        only = (self._manifest.mcp or {}).get("only")
        found: list[Tool] = []
        cursor = None
        while True:
            page = await session.list_tools(cursor)
            for tool in page.tools:
                if tool.name not in named and (only is None or tool.name in only):
                    found.append(self._tool(tool))
            cursor = page.nextCursor
            if not cursor:
                return found

    def _tool(self, tool: Any) -> Tool:
        schema = tool.inputSchema if isinstance(tool.inputSchema, Mapping) else {}
        return Tool(
            name=re.sub(r"[^A-Za-z0-9_-]", "_", tool.name)[:64],
            description=tool.description or tool.title or tool.name.replace("_", " "),
            parameters={"type": "object", "properties": {}, "required": [], **schema},
            policy=_policy(tool.annotations),
            say=Say(success="{text}", failure="That did not work."),
            plugin=self._manifest.plugin,
            handler={"mcp": {"tool": tool.name}},
        )

    async def call(self, name: str, arguments: Mapping[str, Any], watch: Watch) -> Result:
        """Call a tool of the server; its text becomes {text}, its structured content the other values.

        Errors: ToolUnreachable, ToolFailed (the server says so), ToolTimeout (it went away in the middle).
        """
        watch.unanswered = ToolUnreachable(f"the MCP server of {self._manifest.plugin} is not ready")
        session = await self.session()
        watch.unanswered = None
        if not watch.begin():
            raise asyncio.CancelledError
        try:
            limit = timedelta(seconds=_LONGEST_CALL_S)
            answer = await session.call_tool(name, dict(arguments), read_timeout_seconds=limit)
        except McpError as error:
            if "closed" in str(error).lower():
                await self._restart()
                raise ToolTimeout(f"the MCP server of {self._manifest.plugin} went away") from error
            raise ToolFailed(f"{name}: {error}") from error
        except Exception as error:  # the transport's own errors, once the other end is gone
            await self._restart()
            raise ToolTimeout(f"the MCP server of {self._manifest.plugin} went away: {error}") from error
        text = " ".join(part.text for part in answer.content if isinstance(part, TextContent)).strip()
        if answer.isError:
            raise ToolFailed(f"{name}: {text or 'no reason given'}")
        values = {key: value for key, value in (answer.structuredContent or {}).items() if key != "text"}
        return Result(text=text, **values)

    async def _restart(self) -> None:
        """The next call starts it again."""
        if self._task is not None:
            self._stop.set()
            self._task = None

    async def close(self) -> None:
        if self._task is None:
            return
        self._stop.set()
        done, _ = await asyncio.wait({self._task}, timeout=5.0)
        if not done:
            self._task.cancel()


def _policy(hints: Any) -> Policy:
    """MCP's ToolAnnotations as our policy; a hint that is missing means the worse (as in the MCP specification)."""
    if hints is not None and hints.readOnlyHint:
        return Policy(risk=Risk.LOW, confirm=Confirm.UNSURE, timeout_ms=10_000, idempotent=True, changes_state=False)
    idempotent = bool(hints is not None and hints.idempotentHint)
    if hints is not None and hints.destructiveHint is False:
        return Policy(risk=Risk.LOW, confirm=Confirm.UNSURE, timeout_ms=10_000, idempotent=idempotent)
    return Policy(risk=Risk.MEDIUM, confirm=Confirm.ALWAYS, timeout_ms=10_000, idempotent=idempotent)


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
