"""Scenarios of conversations in which people interrupt: YAML that reads like a script, and who says what when.

    - name: the room is corrected while the answer is spoken
      kind: correction                     # what kind of interruption or disfluency it is; reported by it
      lines:
        - turn on the hall light           # said when all is quiet
        - {say: "no, the kitchen", over: hall}     # said when our answer has reached this word
        - {say: cancel that, after_ms: 300}        # so long after the line before ended, whatever goes on then
        - {noise: cough, over: light}      # cough | door | music
        - {say: yes, wait_ms: 15000}       # so long after all is quiet
      calls: [light_switch room=hall state=on, light_switch room=kitchen state=on]    # carried out, in this order
      stands: [light_switch room=kitchen state=on]    # what was not taken back in the end; all of `calls` by default
      never: [light_switch room=hall]      # must not be carried out at all
      said: kitchen                        # in one of our answers
      slow_ms: 2000                        # how long a tool takes; 60 by default
      within_ms: 900                       # from the last line's end until what it asked for is done or silent

`...` in a line is a pause for thought of 0.7 s.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from voice_needle.errors import ConfigError
from voice_needle.events import Call

FOLDER = Path(__file__).with_name("duplex_scenarios")
PAUSE_MS = 700.0
WORD_MS = 280.0  # of a word in text mode: 210 words a minute, breath included
NOISES = ("cough", "door", "music")
_LINE_KEYS = frozenset(["say", "noise", "over", "after_ms", "wait_ms"])
_KEYS = frozenset(["name", "kind", "lines", "calls", "stands", "never", "said", "slow_ms", "within_ms", "voice"])


@dataclass(frozen=True)
class Line:
    """One thing that happens: words or a noise, and when."""

    say: str = ""
    noise: str = ""
    over: str = ""  # a word of our answer
    after_ms: float | None = None
    wait_ms: float = 400.0

    @property
    def words(self) -> str:
        """What a perfect recogniser hears."""
        return " ".join(re.findall(r"[\w']+", self.say.lower()))

    @property
    def pieces(self) -> list[str]:
        """The words between pauses."""
        return [piece.strip() for piece in self.say.split("...") if piece.strip()]


@dataclass(frozen=True)
class Scenario:
    """One script and what must come of it."""

    name: str
    plugin: str
    kind: str
    lines: tuple[Line, ...]
    calls: tuple[Call, ...]
    stands: tuple[Call, ...]
    never: tuple[Call, ...] = ()
    said: str = ""
    slow_ms: float = 60.0
    within_ms: float | None = None
    voice: str = ""


@dataclass
class Said:
    """A line as it was spoken: positions in milliseconds of the microphone. words: text mode's time line (word, start, end)."""

    line: Line
    start_ms: float
    end_ms: float
    words: list[tuple[str, float, float]] = field(default_factory=list)


def load(file: Path) -> list[Scenario]:
    """The scenarios of one file; the plugin is its name. Errors: ConfigError, with the scenario in question."""
    found = yaml.safe_load(file.read_text("utf-8")) or []
    return [_scenario(each, file, number) for number, each in enumerate(found, 1)]


def load_all(plugins: tuple[str, ...] = ()) -> list[Scenario]:
    """Every bundled scenario, or those of these plugins."""
    files = [file for file in sorted(FOLDER.glob("*.yaml")) if not plugins or file.stem in plugins]
    return [scenario for file in files for scenario in load(file)]


def _scenario(given: Any, file: Path, number: int) -> Scenario:
    where = f"{file.name}, scenario {number}"
    if not isinstance(given, dict) or not {"name", "kind", "lines"} <= given.keys() or given.keys() - _KEYS:
        raise ConfigError(f"{where}: it needs name, kind and lines, and may have {', '.join(sorted(_KEYS))}")
    calls = tuple(read_call(text, where) for text in given.get("calls") or ())
    stands = given.get("stands")
    return Scenario(
        name=str(given["name"]),
        plugin=file.stem,
        kind=str(given["kind"]),
        lines=tuple(_line(each, where) for each in given["lines"]),
        calls=calls,
        stands=calls if stands is None else tuple(read_call(text, where) for text in stands),
        never=tuple(read_call(text, where) for text in given.get("never") or ()),
        said=str(given.get("said", "")),
        slow_ms=float(given.get("slow_ms", 60.0)),
        within_ms=given.get("within_ms"),
        voice=str(given.get("voice", "")),
    )


def _line(given: Any, where: str) -> Line:
    if isinstance(given, str):
        return Line(say=given)
    if not isinstance(given, Mapping) or set(given) - _LINE_KEYS or ("say" in given) == ("noise" in given):
        raise ConfigError(f"{where}: a line has `say` or `noise`, and may have over, after_ms, wait_ms")
    if "noise" in given and given["noise"] not in NOISES:
        raise ConfigError(f"{where}: a noise is one of {', '.join(NOISES)}")
    return Line(**{str(key): value for key, value in given.items()})


def read_call(text: str, where: str = "") -> Call:
    """`tool name=value name="two words"` as a call. Errors: ConfigError."""
    tool, _, rest = text.strip().partition(" ")
    arguments = {}
    for name, quoted, bare in re.findall(r'(\w+)=(?:"([^"]*)"|(\S+))', rest):
        arguments[name] = quoted or _plain(bare)
    if rest.strip() and not arguments:
        raise ConfigError(f"{where}: {text!r} is not `tool name=value ...`")
    return Call(tool, arguments)


def _plain(text: str) -> Any:
    """A number where it is one; `on` stays a word."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return {"true": True, "false": False}.get(text, text)


class Director:
    """Says each line at its moment. Called once a frame, before the frame.

    now_ms: position of the microphone. quiet: nobody speaks and nothing is done. heard_so_far: the words of our answer so far. speak:
    puts a line into the room and tells when its speech begins and ends.
    """

    def __init__(
        self,
        lines: tuple[Line, ...],
        *,
        now_ms: Callable[[], float],
        quiet: Callable[[], bool],
        heard_so_far: Callable[[], str],
        speak: Callable[[Line], Said],
    ) -> None:
        self._lines = list(lines)
        self._now_ms, self._quiet, self._heard_so_far, self._speak = now_ms, quiet, heard_so_far, speak
        self._quiet_since: float | None = None
        self.said: list[Said] = []
        self.never_came: list[Line] = []  # lines over words that we did not say

    @property
    def done(self) -> bool:
        return not self._lines

    @property
    def speaking(self) -> bool:
        """A line is being said right now."""
        return bool(self.said) and self._now_ms() < self.said[-1].end_ms

    def quiet_ms(self) -> float:
        return 0.0 if self._quiet_since is None else self._now_ms() - self._quiet_since

    def tick(self) -> None:
        now = self._now_ms()
        if self._quiet() and not self.speaking:
            self._quiet_since = now if self._quiet_since is None else self._quiet_since
        else:
            self._quiet_since = None
        if self._lines and not self.speaking and self._due(self._lines[0], now):
            self.said.append(self._speak(self._lines.pop(0)))
            self._quiet_since = None

    def _due(self, line: Line, now: float) -> bool:
        if line.after_ms is not None:
            return bool(self.said) and now >= self.said[-1].end_ms + line.after_ms
        if line.over:
            if line.over.lower() in re.findall(r"[\w']+", self._heard_so_far().lower()):
                return True
            if self.quiet_ms() < 2_000.0:
                return False
            self.never_came.append(line)  # said all the same: what follows depends on it
            return True
        return self.quiet_ms() >= line.wait_ms
