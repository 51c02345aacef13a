"""The plugin that `voice-needle tools new` writes: small, complete, and working as it stands."""

from __future__ import annotations

from pathlib import Path

from voice_needle.errors import ConfigError

MANIFEST = """\
# {name}: see voice_needle/plugin.py for what handlers may do, and `voice-needle tools check` for mistakes.
plugin: {name}
description: Keeps notes about things, and tells them back.
vocabularies:
  subject:                                  # canonical value: [what people say]
    weather: [weather, the weather]
    guests: [guests, visitors, the guests]
tools:
  {name}_note:
    description: Write down a number of things about a subject.
    parameters:
      subject: {{vocabulary: subject, description: What the note is about}}
      amount: {{type: integer, minimum: 1, maximum: 100, description: How many}}
    sentences:
      - "tell {spoken} [about] {{subject}} {{amount}}"
      - "note {{amount}} [for] {{subject}} [in {spoken}]"
    handler: {{python: "handlers.py:note"}}
    policy: {{risk: low, idempotent: true}}
    say:
      success: "Noted {{amount}} for {{subject}}."
      questions: {{subject: "What about?", amount: "How many?"}}
  {name}_ask:
    description: Tell what was noted about a subject.
    parameters:
      subject: {{vocabulary: subject, description: What the note is about}}
    sentences:
      - "ask {spoken} about {{subject}}"
      - "what does {spoken} say about {{subject}}"
    handler: {{python: "handlers.py:ask"}}
    policy: {{risk: low, idempotent: true, changes_state: false}}
    say:
      success: "For {{subject}} I have {{amount}}."
      on: {{not_found: "I have nothing about {{subject}}."}}
      questions: {{subject: "About what?"}}
"""

HANDLERS = '''\
"""What the tools of {name} do. One function a tool; its parameters are the tool's."""

from voice_needle.plugin import Context, Result


async def note(ctx: Context, subject: str, amount: int) -> Result:
    ctx.state.setdefault("notes", {{}})[subject] = amount
    return Result()


async def ask(ctx: Context, subject: str) -> Result:
    amount = ctx.state.get("notes", {{}}).get(subject)
    return Result.not_found() if amount is None else Result(amount=amount)
'''

SCENARIOS = """\
# utterance -> exact call -> what is said; run with: voice-needle eval scenarios {name}
- say: ask {spoken} about the weather
  calls: [{{tool: {name}_ask, arguments: {{subject: weather}}}}]
  outcome: act
  status: not_found
  said: I have nothing about weather.
- say: tell {spoken} about the guests twelve
  calls: [{{tool: {name}_note, arguments: {{subject: guests, amount: 12}}}}]
  outcome: act
  said: Noted 12 for guests.
  then:
    - say: what does {spoken} say about the guests
      said: For guests I have 12.
- say: don't tell {spoken} about the guests twelve
  calls: []
  outcome: decline
"""

EFFECTS = '''\
"""The back end that the scenarios act on: this plugin needs none."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any


class World:
    settings: Mapping[str, Any] = {{}}

    async def reset(self, tooling: Any) -> None: ...
    async def prepare(self, wanted: Mapping[str, Any]) -> None: ...

    async def check(self, effect: Mapping[str, Any], tooling: Any) -> str:
        return ""


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    yield World()
'''

TEST = '''\
"""Every scenario of {name}, for real."""

import asyncio
from pathlib import Path

from voice_needle.dispatch import manifest
from voice_needle.evaluation.scenarios import run_folder


def test_the_manifest_has_no_mistake():
    assert manifest.load(Path(__file__).parent)[1] == []


def test_every_scenario():
    outcomes = asyncio.run(run_folder(Path(__file__).parent))
    assert outcomes and not [problem for outcome in outcomes for problem in outcome.problems]
'''

FILES = {
    "plugin.yaml": MANIFEST,
    "handlers.py": HANDLERS,
    "scenarios.yaml": SCENARIOS,
    "effects.py": EFFECTS,
    "test_{name}.py": TEST,
}


def write_plugin(folder: Path, name: str) -> list[Path]:
    """Write the plugin's files. Errors: ConfigError when something is there already, or the folder cannot be written."""
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder} is not empty", fix="choose another name, or delete that folder")
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in FILES.items():
            path = folder / file.format(name=name)
            path.write_text(text.format(name=name, spoken=name.replace("_", " ")), encoding="utf-8")
            written.append(path)
    except OSError as error:
        raise ConfigError(
            f"I cannot write {folder}: {error.strerror}", fix="give another folder with --into"
        ) from error
    return written
