"""All plugins at run time: starts each at its first use, replaces those whose files changed, closes them at the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from voice_needle.clock import Clock
from voice_needle.dispatch import manifest as manifests
from voice_needle.dispatch.breaker import Breaker
from voice_needle.dispatch.host import Host, PluginHost
from voice_needle.dispatch.manifest import Manifest
from voice_needle.dispatch.registry import Registry
from voice_needle.errors import ToolFailed
from voice_needle.plugin import Context, Timers
from voice_needle.secrets import Secrets

log = logging.getLogger(__name__)


class Hosts:
    """One host and one circuit breaker for each plugin.

    settings: plugin -> the user's settings, over the manifest's defaults. data_dir: each plugin gets a folder of its own.
    """

    def __init__(
        self,
        registry: Registry,
        clock: Clock,
        timers: Timers,
        data_dir: Path,
        *,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        secrets: Secrets | None = None,
        room: str | None = None,
    ) -> None:
        self._registry = registry
        self._clock = clock
        self._timers = timers
        self._data_dir = data_dir
        self._settings = settings or {}
        self._secrets = secrets or Secrets()
        self._room = room
        self._hosts: dict[str, Host] = {}
        self._versions: dict[str, str] = {}
        self._breakers: dict[str, Breaker] = {}

    def breaker(self, plugin: str) -> Breaker:
        return self._breakers.setdefault(plugin, Breaker(plugin, self._clock))

    def host(self, plugin: str) -> Host:
        """The running plugin. Errors: ToolFailed when its settings want a secret that is not there."""
        if plugin not in self._hosts:
            manifest = self._registry.plugins.get(plugin)
            if manifest is None:
                raise ToolFailed(f"there is no plugin {plugin}", fix="voice-needle tools list")
            self._hosts[plugin] = self._start(manifest)
            self._versions[plugin] = manifests.content_hash(manifest.folder)
        return self._hosts[plugin]

    def _start(self, manifest: Manifest) -> Host:
        if manifest.own_process:
            from voice_needle.dispatch.process_host import ProcessHost

            shared = getattr(self._timers, "file", self._data_dir / "timers.sqlite")
            return ProcessHost(manifest, self._context(manifest), str(shared))
        return PluginHost(manifest, self._context(manifest))

    def _context(self, manifest: Manifest) -> Context:
        given = {**manifest.settings, **self._settings.get(manifest.plugin, {})}
        folder = self._data_dir / manifest.plugin
        folder.mkdir(parents=True, exist_ok=True)
        return Context(
            plugin=manifest.plugin,
            settings=self._secrets.resolve(given, manifest.plugin, manifest.optional_settings),
            data_dir=folder,
            clock=self._clock,
            timers=self._timers,
            log=logging.getLogger(f"voice_needle.plugins.{manifest.plugin}"),
            room=self._room,
        )

    async def start(self) -> dict[str, Exception]:
        """Set every plugin up, all at once. Returns what went wrong; those plugins are tried again at their next call."""
        wrong: dict[str, Exception] = {}

        async def ready(plugin: str) -> None:
            try:
                await self.host(plugin).ready()
            except Exception as error:
                log.warning("%s is not ready: %s", plugin, error)
                wrong[plugin] = error

        await asyncio.gather(*(ready(plugin) for plugin in self._registry.plugins))
        return wrong

    async def refresh(self) -> bool:
        """Merge the names that plugins find at run time into their vocabularies. True when the offered tools changed."""

        async def ask(plugin: str) -> bool:
            try:
                host = self.host(plugin)
                async with asyncio.timeout(host.manifest.setup_timeout_ms / 1000):
                    await host.ready()
                    found = await host.vocabularies()
                    tools = await host.found_tools()
            except Exception as error:
                log.warning("%s cannot name what it found: %s", plugin, error)
                return False
            merged = self._registry.merge_vocabularies(plugin, found)
            return self._registry.set_extra_tools(plugin, tools) or merged

        return any(await asyncio.gather(*(ask(plugin) for plugin in list(self._registry.plugins))))

    async def sync(self) -> None:
        """After a reload: close the plugins that are gone or changed; they start afresh at their next call."""
        stale = [
            plugin
            for plugin in self._hosts
            if plugin not in self._registry.plugins
            or manifests.content_hash(self._registry.plugins[plugin].folder) != self._versions[plugin]
        ]
        closing = [self._hosts.pop(plugin) for plugin in stale]
        for plugin in stale:
            self._breakers.pop(plugin, None)
        await asyncio.gather(*(host.close() for host in closing))

    async def close(self) -> None:
        hosts, self._hosts = list(self._hosts.values()), {}
        for done in await asyncio.gather(*(host.close() for host in hosts), return_exceptions=True):
            with contextlib.suppress(asyncio.CancelledError):
                if isinstance(done, Exception):
                    log.warning("a plugin did not close: %s", done)
