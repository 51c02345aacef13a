"""The configuration: one dataclass a stage, every option beside its default, its unit and its reason.

It is read in layers, each overriding the one before: the defaults below, the board's profile (devices/*.yaml), then
/etc/voice-needle/config.yaml, the user's own file, and what the command line says.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import platformdirs

from voice_needle.errors import ConfigError
from voice_needle.settings_file import nearest, option, read_yaml

SYSTEM_DIR = Path("/etc/voice-needle")
REMOTE_DIR = "fleet"  # below data_dir: what came over the fleet's broker


@dataclass(frozen=True)
class Listen:
    """Sound -> one utterance."""

    device: str = option("default", "input device: `default`, an index, or a part of its name")
    channel: str = option("mix", "`mix` of all channels, or the number of one, from 0")
    vad: str = option("webrtc", "who decides that somebody speaks", choices=("webrtc", "silero"))
    vad_aggressiveness: int = option(2, "webrtc only: 0 lets most through, 3 the least", at_least=0, at_most=3)
    pre_roll_ms: int = option(300, "sound kept from before the onset", unit="ms", at_least=0, at_most=2000)
    onset_ms: int = option(60, "speech needed before an utterance begins", unit="ms", at_least=10, at_most=1000)
    min_speech_ms: int = option(
        150, "shorter bursts are dropped: a click is no request", unit="ms", at_least=0, at_most=2000
    )
    end_silence_ms: int = option(600, "silence that ends an utterance", unit="ms", at_least=100, at_most=5000)
    read_ahead_ms: int = option(
        100,
        "a pause this long is read as if it were the end, so that the answer is ready when it is",
        unit="ms",
        at_least=50,
        at_most=5000,
    )
    complete_silence_ms: int = option(
        250, "the same when the words already make a whole request", unit="ms", at_least=50, at_most=5000
    )
    incomplete_silence_ms: int = option(
        1400, "the same when the words end in `and`, or miss something", unit="ms", at_least=100, at_most=8000
    )
    max_utterance_ms: int = option(15_000, "an utterance is cut here", unit="ms", at_least=1000, at_most=60_000)
    wake: str = option(
        "off", "what opens the ear: always open, a key, or a word", choices=("off", "push-to-talk", "word")
    )
    wake_word: str = option("okay_nabu", "model of pymicro-wakeword, with `wake: word`")
    follow_up_ms: int = option(
        8000, "how long the ear stays open after an answer, with a wake word", unit="ms", at_least=0, at_most=60_000
    )


@dataclass(frozen=True)
class Transcribe:
    """Utterance -> words."""

    engine: str = option(
        "auto", "`auto`: Whisper where a model is installed, Sphinx otherwise", choices=("auto", "whisper", "sphinx")
    )
    whisper_model: str = option("tiny.en", "name of an installed model (voice-needle models list), or a folder")
    language: str = option("en", "spoken language; the embedded recogniser knows only English")
    threads: int = option(0, "threads of the recogniser; 0: the profile decides", at_least=0, at_most=16)
    grammar: str = option(
        "full",
        "Sphinx only: `full` hears people who stumble, and replies in a grammar of their own; `small` takes half the memory",
        choices=("full", "small"),
    )
    dereverberate: bool = option(True, "Sphinx only: take a room's late echo out of what is heard")
    partials_ms: int = option(
        200,
        "how often partial words are asked for while the user speaks; 0: never",
        unit="ms",
        at_least=0,
        at_most=2000,
    )


@dataclass(frozen=True)
class Route:
    """Words -> calls."""

    router: str = option(
        "auto", "`auto`: templates first, then the embedded model", choices=("auto", "templates", "stitch", "needle")
    )
    threads: int = option(1, "threads of the router's model", at_least=1, at_most=8)
    needle_checkpoint: Path | None = option(None, "Needle v1 weights (safetensors or pickle), with `router: needle`")
    escalate_url: str = option("", "an OpenAI-compatible endpoint on the local network; empty: never asked")
    escalate_model: str = option("", "the model's name there")
    room: str = option("", "where this device stands: the default of `here`; empty: it asks")


@dataclass(frozen=True)
class Dispatch:
    """Calls -> results."""

    plugins: list[str] = option(["home", "warehouse", "in_car", "desk"], "enabled plugins, by name")
    tools_dir: Path | None = option(None, "one more folder of plugins, searched last and so strongest")
    question_timeout_ms: int = option(
        10_000, "how long an open question waits for its answer", unit="ms", at_least=1000, at_most=120_000
    )


@dataclass(frozen=True)
class Speak:
    """Results -> sound."""

    engine: str = option(
        "auto",
        "`auto`: Piper where a voice is installed, espeak-ng otherwise",
        choices=("auto", "piper", "espeak", "flite"),
    )
    voice: str = option("", "the engine's voice; empty: its default")
    device: str = option("default", "output device: `default`, an index, or a part of its name")
    rate_wpm: int = option(170, "speaking rate of espeak-ng", unit="words a minute", at_least=80, at_most=400)
    earcons: bool = option(True, "short tones: listening, done, problem")


@dataclass(frozen=True)
class BargeIn:
    """What happens when the user speaks over the assistant."""

    mode: str = option(
        "auto",
        "`auto`: the echo self-test at start decides",
        choices=("auto", "full", "duck-first", "stop-word", "off"),
    )
    duck_db: float = option(
        -15.0, "how much quieter our voice becomes while it is decided", unit="dB", at_least=-60, at_most=0
    )
    confirm_ms: int = option(900, "no words by then: a noise, our voice goes on", unit="ms", at_least=200, at_most=5000)


@dataclass(frozen=True)
class Budget:
    """What a board can give. A choice that cannot fit is refused at start."""

    memory_mb: int = option(1024, "resident memory of the whole appliance", unit="MB", at_least=64)
    threads: int = option(2, "processor threads for models", at_least=1, at_most=64)


@dataclass(frozen=True)
class Fleet:
    """Telling an existing MQTT broker how this device is. Off unless a broker is named."""

    broker: str = option("", "mqtts://[user:password@]host[:port] of the broker that is told; empty: nobody is")
    name: str = option("", "what the fleet calls this device; empty: host name and a hash of the machine's id")
    words: bool = option(False, "tell it also what was said and called; otherwise only outcomes and milliseconds")
    ca: Path | None = option(None, "with mqtts: certificates (PEM) that may vouch for the broker; empty: the system's")
    certificate: Path | None = option(None, "with mqtts: this device's own certificate (PEM), where the broker wants one")
    key: Path | None = option(None, "its private key (PEM)")
    remote: bool = option(False, "take signed configuration from the broker; rolled back if it does not start")
    trial_s: int = option(30, "it stays once it has listened so long", unit="s", at_least=1, at_most=3600)
    signers: Path = option(SYSTEM_DIR / "bundle.signers", "public keys that may sign it, each line `bundle KEYTYPE KEY`")


@dataclass(frozen=True)
class Config:
    """Everything that can be set."""

    profile: str = option("auto", "a board of devices/; `auto`: what this machine says it is")
    sound_card: str = option("", "a sound card of devices/; empty: the system's default")
    data_dir: Path = option(Path(platformdirs.user_data_dir("voice-needle")), "ledger, timers, installed models")
    listen: Listen = field(default_factory=Listen)
    transcribe: Transcribe = field(default_factory=Transcribe)
    route: Route = field(default_factory=Route)
    dispatch: Dispatch = field(default_factory=Dispatch)
    speak: Speak = field(default_factory=Speak)
    barge_in: BargeIn = field(default_factory=BargeIn)
    budget: Budget = field(default_factory=Budget)
    fleet: Fleet = field(default_factory=Fleet)
    plugins: dict[str, dict[str, Any]] = option({}, "settings of each plugin, by the plugin's name")


@dataclass(frozen=True)
class Profile:
    """A board or a sound card: what devices/*.yaml may say."""

    name: str
    description: str
    kind: str = option("board", "what the file describes", choices=("board", "sound_card"))
    detect: list[str] = option(
        [], "any of these in the device-tree model (board) or the PortAudio name (card) means this one"
    )
    listen: Listen = field(default_factory=Listen)
    transcribe: Transcribe = field(default_factory=Transcribe)
    route: Route = field(default_factory=Route)
    speak: Speak = field(default_factory=Speak)
    barge_in: BargeIn = field(default_factory=BargeIn)
    budget: Budget = field(default_factory=Budget)
    overlay: str = option("", "sound card: the device-tree overlay that switches it on (config.txt)")
    notes: str = option("", "what an integrator should know")


def bundled(folder: str) -> Path:
    """A folder that ships with the package: from the wheel, or from a source checkout."""
    inside = Path(__file__).parent / "_bundled" / folder
    return inside if inside.is_dir() else Path(__file__).parent.parent / folder


def profiles() -> dict[str, Path]:
    """Name -> file of every board and card; the user's own in /etc/voice-needle/devices.d override the bundled ones."""
    found: dict[str, Path] = {}
    for folder in (bundled("devices"), SYSTEM_DIR / "devices.d"):
        for file in sorted(folder.glob("*.yaml")):
            found[file.stem] = file
    return found


def board_model() -> str:
    """What the device tree calls this board ("Raspberry Pi 5 Model B Rev 1.0"); empty where there is none."""
    try:
        return Path("/proc/device-tree/model").read_text(encoding="utf-8").strip("\0\n ")
    except OSError:
        return ""


def detect_profile() -> str:
    """The board profile whose `detect` matches this machine, else x86."""
    model = board_model().lower()
    for name, file in profiles().items():
        profile = read_yaml(Profile, file)
        if profile.kind == "board" and any(mark.lower() in model for mark in profile.detect):
            return name
    return "x86"


def load_profile(name: str, kind: str = "board") -> Profile:
    """Errors: ConfigError for an unknown name (nearest given) or a broken file."""
    known = profiles()
    if name not in known:
        raise ConfigError(
            f"There is no device profile `{name}`{nearest(name, list(known))}", fix="voice-needle devices --profiles"
        )
    profile = read_yaml(Profile, known[name])
    if profile.kind != kind:
        raise ConfigError(f"`{name}` describes a {profile.kind}, not a {kind}", fix="voice-needle devices --profiles")
    return profile


def user_config_file() -> Path:
    """The user's own configuration file, which need not exist."""
    return Path(platformdirs.user_config_dir("voice-needle")) / "config.yaml"


def load(file: Path | None = None, profile: str | None = None, *, remote: bool = True) -> Config:
    """The whole configuration: defaults, profile, /etc, user file (or `file` in its place), and what came over the broker.

    remote: False leaves the last out.

    Errors: ConfigError with every mistake of the first file that has any.
    """
    layers = (
        [file] if file is not None else [f for f in (SYSTEM_DIR / "config.yaml", user_config_file()) if f.is_file()]
    )
    chosen = Config()
    for layer in layers:  # once without the profile, to learn which profile is meant
        chosen = read_yaml(Config, layer, chosen)
    name = profile or os.environ.get("VOICE_NEEDLE_PROFILE") or chosen.profile
    board = load_profile(detect_profile() if name == "auto" else name)
    config = _with_profile(Config(profile=board.name), board)
    if chosen.sound_card:
        config = _with_profile(config, load_profile(chosen.sound_card, "sound_card"))
    for layer in layers:
        config = read_yaml(Config, layer, config)
    config = replace(config, profile=board.name)
    return with_remote(config, config.data_dir) if remote else config


def with_remote(config: Config, data_dir: Path) -> Config:
    """`config` with what came over the fleet's broker, which may not move data, board or fleet. Errors: ConfigError."""
    afar = data_dir / REMOTE_DIR / "config.yaml"
    if not (config.fleet.remote and afar.is_file()):
        return config
    read = read_yaml(Config, afar, config)
    return replace(read, profile=config.profile, data_dir=config.data_dir, fleet=config.fleet)


def _with_profile(config: Config, profile: Profile) -> Config:
    """`config` with what `profile` sets differently from the defaults."""
    changed: dict[str, Any] = {}
    for each in fields(Config):
        mine, theirs = getattr(config, each.name), getattr(profile, each.name, None)
        if is_dataclass(mine) and not isinstance(mine, type) and theirs is not None:
            default = type(mine)()
            differing = {
                f.name: getattr(theirs, f.name)
                for f in fields(theirs)
                if getattr(theirs, f.name) != getattr(default, f.name)
            }
            if differing:
                changed[each.name] = replace(mine, **differing)
    return replace(config, **changed)
