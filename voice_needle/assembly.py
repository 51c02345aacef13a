"""Makes the parts that the configuration names. Nothing is imported, started or opened before it is asked for."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from voice_needle import memory
from voice_needle.audio import Samples
from voice_needle.budget import check_budget
from voice_needle.clock import Clock, RealClock
from voice_needle.config import REMOTE_DIR, Config, Listen
from voice_needle.dispatch.hosts import Hosts
from voice_needle.dispatch.ledger import Ledger
from voice_needle.dispatch.registry import Registry, standard_folders
from voice_needle.dispatch.runner import Dispatcher, Emit
from voice_needle.dispatch.timers import TimerStore
from voice_needle.errors import ConfigError, ModelCorrupt, VoiceNeedleError
from voice_needle.events import Event, Fault
from voice_needle.listen.echo import EchoCanceller
from voice_needle.listen.endpoint import Endpointer
from voice_needle.listen.engine import Source, Vad
from voice_needle.route.engine import Router
from voice_needle.secrets import MaskSecrets, Secrets
from voice_needle.settings_file import nearest
from voice_needle.speak.engine import Voice
from voice_needle.speak.sinks import NullSink, Sink
from voice_needle.trace import Trace
from voice_needle.transcribe.engine import Recogniser
from voice_needle.workers import Workers

if TYPE_CHECKING:
    from voice_needle.assistant import Assistant, Parts


log = logging.getLogger(__name__)
T = TypeVar("T")
SMALL_BOARD_MB = 512  # budgets up to this are worth a little processor time


def drop(event: Event) -> None:
    """Nobody wants to know."""


def open_registry(config: Config, only: Sequence[str] | None = None, *, every: bool = False) -> Registry:
    """The enabled plugins, or `only` those, or `every` one there is.

    Errors: ConfigError for a plugin of `only` that is not there.
    """
    more = [config.data_dir / REMOTE_DIR / "tools.d"] if config.fleet.remote else []
    folders = (*standard_folders(), *more, *([config.dispatch.tools_dir] if config.dispatch.tools_dir else ()))
    wanted = None if every and not only else list(only or config.dispatch.plugins)
    registry = Registry(folders, enabled=wanted, cache=config.data_dir / "cache")
    for name in only or ():
        if name not in registry.plugins and not any(f"/{name}/" in str(problem.file) for problem in registry.problems):
            known = list(Registry(folders, cache=config.data_dir / "cache").plugins)
            raise ConfigError(f"There is no plugin `{name}`{nearest(name, known)}", fix="voice-needle tools list --all")
    return registry


@dataclass
class Tooling:
    """Everything behind the dispatcher."""

    registry: Registry
    dispatcher: Dispatcher
    timers: TimerStore
    ledger: Ledger
    hosts: Hosts
    faults: dict[str, Exception]  # plugins that could not be set up; tried again at their next call
    troubles: list[VoiceNeedleError] = field(default_factory=list)  # models that are damaged, and done without


@asynccontextmanager
async def open_tooling(
    config: Config,
    clock: Clock,
    emit: Emit = drop,
    registry: Registry | None = None,
    make_hosts: Callable[..., Hosts] = Hosts,
) -> AsyncIterator[Tooling]:
    """Plugins set up, ledger and timers open; closed in order at the end. make_hosts: for simulations.

    Errors: StorageError when the ledger cannot be opened, ConfigError for secrets.
    """
    registry = registry or open_registry(config)
    secrets = Secrets.load()
    for handler in logging.getLogger().handlers:
        handler.addFilter(MaskSecrets(secrets))
    ledger = Ledger.open(config.data_dir / "ledger.db", clock, mask=secrets.mask_deep)
    timers = TimerStore(config.data_dir / "timers.db", clock)
    room = config.route.room or None
    hosts = make_hosts(
        registry, clock, timers, config.data_dir / "plugins", settings=config.plugins, secrets=secrets, room=room
    )
    dispatcher = Dispatcher(registry, ledger, hosts, clock, emit, room=room)
    try:
        faults = await hosts.start()
        await dispatcher.refresh()
        yield Tooling(registry, dispatcher, timers, ledger, hosts, faults)
    finally:
        await dispatcher.close()
        timers.close()


def make_router(config: Config, name: str | None = None, *, guarded: bool = True) -> Router:
    """The configured router, or the one called `name`. guarded: see route.get_router.

    Errors: ConfigError, ModelMissing, EngineMissing.
    """
    from voice_needle.route import get_router

    settings, chosen, endpoint = config.route, name or config.route.router, None
    if settings.escalate_url:
        from voice_needle.route.escalate import Endpoint

        endpoint = Endpoint(settings.escalate_url, settings.escalate_model or "default")
    options: dict[str, Any] = {}
    if chosen in ("auto", "stitch"):
        options = {"threads": settings.threads, "cache": config.data_dir / "cache"}
    elif chosen == "needle":
        options = {"threads": settings.threads, "checkpoint": settings.needle_checkpoint}
    return get_router(chosen, escalate=endpoint, guarded=guarded, **options)


def make_recogniser(config: Config, name: str | None = None) -> Recogniser:
    """The configured recogniser. Errors: ConfigError, ModelMissing, EngineMissing."""
    from voice_needle.transcribe import get_recogniser

    return get_recogniser(name or config.transcribe.engine, config.transcribe, data_dir=config.data_dir)


def make_vad(settings: Listen) -> Vad:
    """Errors: EngineMissing for Silero without faster-whisper."""
    from voice_needle.listen.vad import make_vad as make

    return make(settings.vad, mode=settings.vad_aggressiveness)


def make_endpointer(settings: Listen) -> Endpointer:
    return Endpointer(
        pre_roll_ms=settings.pre_roll_ms,
        onset_ms=settings.onset_ms,
        end_silence_ms=settings.end_silence_ms,
        min_speech_ms=settings.min_speech_ms,
        max_length_ms=settings.max_utterance_ms,
    )


def make_echo() -> tuple[EchoCanceller, str]:
    """The canceller between a speaker and a microphone, and what to do where it can only listen and not subtract."""
    from voice_needle.errors import EngineMissing
    from voice_needle.listen.speex import SpeexEcho

    try:
        return EchoCanceller(SpeexEcho(), SpeexEcho()), ""
    except EngineMissing as missing:
        return EchoCanceller(None), missing.fix


def device_name(text: str) -> str | int | None:
    """A device as the configuration names it: `default`, an index, or a part of its name."""
    return None if text in ("", "default") else int(text) if text.isdigit() else text


def make_source(config: Config, clock: Clock, file: Path | None = None, *, realtime: bool = False) -> Source:
    """The microphone, a sound file, or (file `-`) raw 16 kHz int16 from standard input.

    A file is followed by silence until the source is closed. Errors: NoMicrophone, UnknownDevice, BadAudioFile.
    """
    channel = None if config.listen.channel == "mix" else int(config.listen.channel)
    if file is None:
        from voice_needle.listen.microphone import Microphone
        from voice_needle.sound_devices import find_device

        find_device(device_name(config.listen.device), "input")  # say so now, not after the models are loaded
        return Microphone(device_name(config.listen.device), channel=channel)
    from voice_needle.listen.files import FileSource, RawSource

    if str(file) == "-":
        return RawSource(channel=channel, clock=clock, realtime=realtime)
    return FileSource(file, clock=clock, realtime=realtime, channel=channel, tail_ms=math.inf)


def make_sink(config: Config, clock: Clock, file: Path | None = None) -> Sink:
    """The speaker, or a WAV file on the same time line as the source. Errors: NoSpeaker, UnknownDevice, AudioError."""
    if file is not None:
        from voice_needle.speak.sinks import FileSink

        return FileSink(file, clock=clock)
    from voice_needle.sound_devices import find_device
    from voice_needle.speak.device import DeviceSink

    find_device(device_name(config.speak.device), "output")
    return DeviceSink(device_name(config.speak.device))


def make_voice(config: Config, name: str | None = None) -> Voice:
    """The configured voice, or the one called `name`. Errors: EngineMissing, ModelMissing."""
    from voice_needle.speak import get_voice

    settings = config.speak
    return get_voice(
        name or settings.engine, voice=settings.voice, rate_wpm=settings.rate_wpm, models_dir=models_dir(config)
    )


def key_socket() -> Path:
    """Where push-to-talk listens for `press`, `release` and `tap`."""
    return Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()) / "voice-needle.sock"


def models_dir(config: Config) -> Path:
    """Where `voice-needle models pull` installs."""
    return config.data_dir / "models"


class CountedVoice:
    """A voice whose thinking counts as work, so that a scripted clock stands still meanwhile."""

    def __init__(self, voice: Voice, workers: Workers) -> None:
        self._voice, self._workers = voice, workers
        self.name = voice.name
        self.start, self.close = voice.start, voice.close

    async def synthesise(self, sentence: str) -> AsyncGenerator[Samples]:
        async with contextlib.aclosing(self._voice.synthesise(sentence)) as pieces:
            while True:
                with self._workers.busy():
                    piece = await anext(pieces, None)
                if piece is None:
                    return
                yield piece


@asynccontextmanager
async def open_assistant(
    config: Config,
    clock: Clock,
    registry: Registry | None = None,
    *,
    input_file: Path | None = None,
    output_file: Path | None = None,
    realtime: bool = False,
    trace: Trace | None = None,
    emit: Emit = drop,
) -> AsyncIterator[Assistant]:
    """The whole assistant, ready to `run`. On a scripted clock the tools still live in real time: their devices are real.

    Errors: those of every part, and BudgetError for a choice that the board cannot carry; nothing stays open after one.
    """
    from voice_needle.assistant import Assistant

    registry = registry or open_registry(config)
    check_budget(config, len(registry.plugins))
    if config.budget.memory_mb <= SMALL_BOARD_MB:
        memory.hold_little()
    async with AsyncExitStack() as stack:
        workers = Workers()
        stack.callback(workers.close)
        source = make_source(config, clock, input_file, realtime=realtime)
        stack.push_async_callback(source.close)
        sink = make_sink(config, clock, output_file) if output_file or input_file is None else NullSink(clock=clock)
        tooling = await stack.enter_async_context(open_tooling(config, RealClock(), emit, registry))
        parts = await open_parts(stack, config, clock, workers, tooling, source, sink, live=input_file is None)
        assistant = Assistant(parts, config, trace, emit)
        await parts.speaker.start()  # last: what plays into a file begins with what is heard from one
        attend(stack, assistant, tooling, live=input_file is None)
        yield assistant


async def open_parts(
    stack: AsyncExitStack,
    config: Config,
    clock: Clock,
    workers: Workers,
    tooling: Tooling,
    source: Source,
    sink: Sink,
    *,
    live: bool,
) -> Parts:
    """Every stage, its models loaded. live: the microphone may hear the speaker."""
    from voice_needle.assistant import Parts
    from voice_needle.conversation import Conversation
    from voice_needle.listen.wake import make_wake
    from voice_needle.speak.phrasing import Phrasebook
    from voice_needle.speak.speaker import Speaker

    tools = tooling.registry.offered()
    recogniser = _or_lesser(make_recogniser, "sphinx", config, config.transcribe.engine, tooling.troubles)
    stack.callback(recogniser.close)
    await workers.run("recogniser", recogniser.prepare, tools)  # alone: compiling its words needs memory, for a while
    router: Router = await workers.run(
        "router", _or_lesser, make_router, "templates", config, config.route.router, tooling.troubles
    )
    await workers.run("router", router.prepare, tools)
    memory.give_back()
    speaker = Speaker(CountedVoice(make_voice(config), workers), sink)
    stack.push_async_callback(speaker.close)
    conversation = Conversation(
        router=router,
        tools=tooling.registry.offered,
        dispatcher=tooling.dispatcher,
        phraser=Phrasebook(clock),
        workers=workers,
        clock=clock,
        room=config.route.room or None,
        question_timeout_ms=config.dispatch.question_timeout_ms,
    )
    listen = config.listen
    wake = make_wake(listen.wake, word=listen.wake_word, window_ms=listen.follow_up_ms, socket=key_socket())
    await wake.start()
    stack.push_async_callback(wake.close)
    echo, no_echo = make_echo() if live and config.barge_in.mode != "off" else (None, "")
    return Parts(
        source=source,
        vad=make_vad(listen),
        endpointer=make_endpointer(listen),
        recogniser=recogniser,
        conversation=conversation,
        speaker=speaker,
        workers=workers,
        clock=clock,
        echo=echo,
        no_echo_reason=no_echo,
        wake=wake,
    )


def _or_lesser(
    make: Callable[..., T], lesser: str, config: Config, chosen: str, troubles: list[VoiceNeedleError]
) -> T:
    """The engine that `auto` finds; where its model is damaged the one that needs none, and the trouble noted.

    Errors: ModelCorrupt when the damaged one was asked for by name.
    """
    try:
        return make(config)
    except ModelCorrupt as error:
        if chosen != "auto":
            raise
        log.error("%s; using %s", error, lesser)
        spoken = {
            "sphinx": "The model that hears for me is damaged. I listen with the small one until it is repaired.",
            "templates": "The model that understands free speech is damaged. I go by my exact sentences until it is repaired.",
        }
        troubles.append(ModelCorrupt(str(error), fix=error.fix, spoken=spoken[lesser]))
        return make(config, lesser)


def attend(stack: AsyncExitStack, assistant: Assistant, tooling: Tooling, *, live: bool) -> None:
    """What goes on beside listening: timers ring, what a power cut left open is told, new plugins are noticed."""
    from voice_needle import upkeep

    def beside(work: Coroutine[Any, Any, None]) -> None:
        stack.push_async_callback(_stopped, asyncio.ensure_future(work))

    beside(tooling.timers.run(assistant.ring))
    beside(upkeep.tidy(assistant))
    for entry in tooling.dispatcher.recover():
        assistant.tell_of(entry)
    for trouble in tooling.troubles:
        assistant.emit(Fault(0, assistant.clock.monotonic() * 1000, type(trouble).__name__, trouble.spoken, trouble.fix))
    if live:
        for sentence in upkeep.at_start(tooling):
            assistant.tell(sentence)
        parts = assistant.parts
        beside(upkeep.keep_fresh(tooling, parts.recogniser, parts.conversation.router, parts.workers))


async def _stopped(task: asyncio.Future[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
