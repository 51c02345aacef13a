"""One plugin at run time: its context, its set-up, and the way to each of its handlers."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any, Protocol

from voice_needle.dispatch import manifest as manifests
from voice_needle.dispatch.handlers import python
from voice_needle.dispatch.manifest import Manifest
from voice_needle.dispatch.watch import Watch
from voice_needle.errors import ToolError, ToolFailed, ToolUnreachable
from voice_needle.plugin import Context, Result
from voice_needle.tools import Tool


class Host(Protocol):
    """What the dispatcher asks of a plugin."""

    manifest: Manifest
    context: Context

    async def ready(self) -> None:
        """Set up, once; again after a failure. Errors: ToolUnreachable, ToolFailed."""
        ...

    async def call(self, context: Context, tool: Tool, arguments: Mapping[str, Any], watch: Watch) -> Result: ...

    async def condition(self, context: Context, name: str) -> str | None:
        """None, or why the condition does not hold."""
        ...

    async def vocabularies(self) -> Mapping[str, Mapping[str, Any]]: ...

    async def found_tools(self) -> tuple[Tool, ...]: ...

    async def close(self) -> None: ...


class PluginHost:
    """A plugin inside this process."""

    def __init__(self, manifest: Manifest, context: Context) -> None:
        self.manifest = manifest
        self.context = context
        self._code = python.Code(manifest.plugin, manifest.folder, manifests.content_hash(manifest.folder))
        self._setting_up: asyncio.Task[None] | None = None
        self._mqtt: Any = None  # handlers.mqtt.Brokers, once needed
        self._mcp: Any = None  # handlers.mcp.Server, once needed
        self._set_up_in: int | None = None  # the thread generation that `setup` ran in

    async def ready(self) -> None:
        if self._set_up_in == self._code.thread.generation:
            return
        if self._setting_up is None or self._setting_up.done():
            self._setting_up = asyncio.create_task(self._set_up(), name=f"set up {self.manifest.plugin}")
            self._setting_up.add_done_callback(_retrieve)
        await asyncio.shield(self._setting_up)

    async def _set_up(self) -> None:
        setup = self._code.optional("setup")
        if setup is not None and (self._set_up_in is None or not inspect.iscoroutinefunction(setup)):
            self.context.state = {}  # a thread that was given up keeps the old one
            try:
                async with asyncio.timeout(self.manifest.setup_timeout_ms / 1000):
                    await self._code.run(setup, self.context)
            except ToolError:
                raise
            except TimeoutError as error:
                raise ToolUnreachable(f"{self.manifest.plugin} did not get ready in time") from error
            except Exception as error:
                what = f"{self.manifest.plugin} cannot be set up: {type(error).__name__}: {error}"
                raise ToolFailed(what) from error
        self._set_up_in = self._code.thread.generation

    async def call(self, context: Context, tool: Tool, arguments: Mapping[str, Any], watch: Watch) -> Result:
        kind, declared = next(iter(tool.handler.items()))
        if kind == "python":
            return await python.call(self._code, context, declared, arguments, watch)
        return await self._declared(kind, declared, context, tool, arguments, watch)

    async def _declared(
        self, kind: str, declared: Any, context: Context, tool: Tool, arguments: Mapping[str, Any], watch: Watch
    ) -> Result:
        """The handlers that need no code of the plugin; each is imported when it is first used."""
        match kind:
            case "command":
                from voice_needle.dispatch.handlers import command

                return await command.call(context, declared, arguments, watch, str(self.manifest.folder))
            case "http":
                from voice_needle.dispatch.handlers import http

                return await http.call(context, declared, arguments, watch, tool.policy.timeout_ms / 1000)
            case "mqtt":
                from voice_needle.dispatch.handlers import mqtt

                if self._mqtt is None:
                    self._mqtt = mqtt.Brokers(self.manifest.plugin)
                done: Result = await self._mqtt.call(context, declared, arguments, watch)
                return done
            case "mcp":
                answer: Result = await self._mcp_server().call(declared.get("tool") or tool.name, arguments, watch)
                return answer
        raise ToolFailed(f"{tool.name} has a handler of an unknown kind, {kind}", fix="voice-needle tools check")

    def _mcp_server(self) -> Any:
        from voice_needle.dispatch.handlers import mcp

        if self._mcp is None:
            self._mcp = mcp.Server(self.manifest, self.context)
        return self._mcp

    async def found_tools(self) -> tuple[Tool, ...]:
        """Tools that the manifest does not name: those of its MCP server."""
        if not self.manifest.mcp:
            return ()
        return tuple(await self._mcp_server().tools())

    async def condition(self, context: Context, name: str) -> str | None:
        function = self._code.optional(f"condition_{name}")
        if function is None:
            raise ToolFailed(f"{self.manifest.plugin} cannot tell whether it is {name}")
        reason = await self._code.run(function, context)
        return None if reason is None else str(reason)

    async def vocabularies(self) -> Mapping[str, Mapping[str, Any]]:
        function = self._code.optional("vocabularies")
        if function is None:
            return {}
        found = await self._code.run(function, self.context)
        return found if isinstance(found, Mapping) else {}

    async def close(self) -> None:
        """Tear down and stop the thread; a plugin that hangs is left behind."""
        if self._setting_up and not self._setting_up.done():
            self._setting_up.cancel()
        try:
            teardown = self._code.optional("teardown") if self._set_up_in is not None else None
            if teardown is not None:
                async with asyncio.timeout(5.0):
                    await self._code.run(teardown, self.context)
        except Exception as error:
            self.context.log.warning("%s did not tear down: %s", self.manifest.plugin, error)
        await self._close_servers()
        self._code.close()

    async def _close_servers(self) -> None:
        for server in (self._mqtt, self._mcp):
            if server is not None:
                await server.close()


def _retrieve(task: asyncio.Task[None]) -> None:
    """A failed set-up is told to whoever waits, and is tried again; with nobody waiting it is no news."""
    if not task.cancelled():
        task.exception()


def for_call(context: Context, *, call_id: str, heard: str, room: str | None) -> Context:
    """The plugin's context as one call sees it; `state` is shared."""
    return dataclasses.replace(context, call_id=call_id, heard=heard, room=room)
