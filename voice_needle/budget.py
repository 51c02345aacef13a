"""Whether the chosen engines fit a board's memory, told before they are loaded and not by the kernel's killer afterwards.

The figures are peaks of resident memory in MB on a 64-bit system with Python 3.11; `voice-needle bench` measures the truth on
a board. Seen there with Stitch, espeak-ng and all four bundled plugins: 267 with the small grammar, 354 with the full one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from voice_needle.config import Config
from voice_needle.errors import BudgetError, ModelMissing, VoiceNeedleError
from voice_needle.models import MB, Model, catalogue

BASE_MB = 75  # interpreter, sound, tools; measured: 70 to 72
SPHINX_MB = {"small": (60, 25), "full": (95, 40)}  # recogniser with the words of one plugin, and of each further one
STITCH_MB = 65  # 26 million int8 weights, the runtime, schema vectors
WHISPER_FACTOR = 1.4  # of model.bin's size, for a model that the catalogue does not know; an estimate
WHISPER_MORE_MB = 130
VOICE_MB = {"piper": 200, "espeak": 15, "flite": 15}  # piper: an estimate; the others: measured 14


@dataclass(frozen=True)
class Share:
    """What one part takes. setting: the line of the configuration that would change it."""

    part: str
    memory_mb: int
    setting: str = ""


def shares(config: Config, plugins: int) -> list[Share]:
    """The estimated memory of each part of an appliance with so many plugins, largest first."""
    found = [Share("Python, sound and tools", BASE_MB), _recogniser(config, plugins), _voice(config)]
    if config.route.router in ("auto", "stitch"):
        found.append(Share("the router Stitch", STITCH_MB, "route: {router: templates}"))
    elif config.route.router == "needle":
        found.append(Share("the router Needle", catalogue()["needle-v1"].memory_mb, "route: {router: auto}"))
    return sorted(found, key=lambda share: -share.memory_mb)


def check_budget(config: Config, plugins: int) -> int:
    """The estimate in MB. Errors: BudgetError naming the largest part that can be changed, and how."""
    found = shares(config, plugins)
    needed, allowed = sum(share.memory_mb for share in found), config.budget.memory_mb
    if needed > allowed:
        listed = ", ".join(f"{share.part} {share.memory_mb} MB" for share in found)
        change = next(share.setting for share in found if share.setting)
        raise BudgetError(
            f"This needs about {needed} MB ({listed}); the profile {config.profile} has {allowed} MB",
            fix=f"put `{change}` into the configuration, or a larger `budget: {{memory_mb: {needed}}}` if the board has it",
        )
    return needed


def _recogniser(config: Config, plugins: int) -> Share:
    if config.transcribe.engine != "sphinx":
        try:
            return Share(*_whisper(config), "transcribe: {engine: sphinx}")
        except VoiceNeedleError:
            if config.transcribe.engine == "whisper":
                raise
    more = max(0, plugins - 1)
    grammar = config.transcribe.grammar
    first, further = SPHINX_MB[grammar]
    fewer = "transcribe: {grammar: small}" if grammar == "full" else "dispatch: {plugins: [home]}" if more else ""
    return Share(f"Sphinx with the words of {plugins} plugins", first + further * more, fewer)


def _whisper(config: Config) -> tuple[str, int]:
    """Errors: ModelMissing when it is not on this device."""
    name = config.transcribe.whisper_model.removeprefix("whisper-")
    place = Path(name) if Path(name).is_dir() else config.data_dir / "models" / f"whisper-{name}"
    known = catalogue().get(f"whisper-{name}", Model())
    if not (place / "model.bin").is_file():
        raise ModelMissing(f"the Whisper model {name} is not installed", fix=f"voice-needle models pull whisper-{name}")
    size = (place / "model.bin").stat().st_size // MB
    return f"Whisper {name}", known.memory_mb or round(size * WHISPER_FACTOR) + WHISPER_MORE_MB


def _voice(config: Config) -> Share:
    engine = config.speak.engine
    if engine == "auto":
        engine = "piper" if any((config.data_dir / "models").glob("**/*.onnx.json")) else "espeak"
    return Share(f"the voice {engine}", VOICE_MB[engine], "speak: {engine: espeak}" if engine == "piper" else "")
