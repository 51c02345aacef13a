"""While the assistant listens: notice changed plugins and newly found devices, teach both models the new words, tidy up."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from voice_needle import memory
from voice_needle.assembly import Tooling
from voice_needle.errors import VoiceNeedleError
from voice_needle.route.engine import Router
from voice_needle.tools import Toolset
from voice_needle.transcribe.engine import Recogniser
from voice_needle.workers import Workers

if TYPE_CHECKING:
    from voice_needle.assistant import Assistant

log = logging.getLogger(__name__)

EVERY_S = 30.0
TIDY_S = 60.0


async def keep_fresh(
    tooling: Tooling, recogniser: Recogniser, router: Router, workers: Workers, every_s: float = EVERY_S
) -> None:
    """Look every `every_s` seconds, until cancelled. A manifest with a mistake in it leaves the others as they were."""
    known: Toolset = tooling.registry.offered()
    while True:
        await asyncio.sleep(every_s)
        try:
            if tooling.registry.changed():
                for problem in await tooling.dispatcher.reload():
                    log.warning("%s", problem)
            await tooling.dispatcher.refresh()
            offered = tooling.registry.offered()
            if offered is not known and offered != known:
                ahead = getattr(recogniser, "compile_ahead", None)
                if ahead is not None:  # takes a minute on a small board: not in the thread that listens, nor watched
                    await asyncio.to_thread(ahead, offered)
                await workers.run("recogniser", recogniser.prepare, offered)
                await workers.run("router", router.prepare, offered)
                memory.give_back()
                log.info("now offering %d tools", len(offered))
            known = offered
        except VoiceNeedleError as error:
            log.warning("%s", error)


async def tidy(assistant: Assistant, every_s: float = TIDY_S) -> None:
    """When something was said since the last look, `every_s` seconds apart, and all is quiet: return free memory, until cancelled.

    A recogniser's search takes and frees some 20 MB an utterance in pieces of all sizes. What is freed between pieces that
    stay is kept by the C library, and not always used again: this is a part of what the process grows by in days, not all.
    """
    seen = 0
    while True:
        await assistant.clock.sleep(every_s)
        if assistant.turns != seen and assistant.idle:
            seen = assistant.turns
            await assistant.workers.run("recogniser", memory.trim)  # its own thread: not in the middle of a search


def at_start(tooling: Tooling) -> list[str]:
    """What the user must be told before anything else: damaged journals and models, plugins that cannot be used."""
    said = []
    if tooling.ledger.moved_aside is not None:
        said.append("My journal was damaged. I put it aside and started a new one.")
    if tooling.timers.moved_aside is not None:
        said.append("My timers were damaged. I put them aside: please set them again.")
    said += [trouble.spoken for trouble in tooling.troubles]
    broken = sorted({problem.file.parent.name for problem in tooling.registry.problems})
    if broken:
        names = " and ".join(name.replace("_", " ") for name in broken)
        said.append(
            f"There is a mistake in the plugin {names}."
            if len(broken) == 1
            else f"There are mistakes in the plugins {names}."
        )
    return said
