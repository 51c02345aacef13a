"""The development sets of our own: domains and tools that training never sees, by kind of case, and by number of tools.

Values are drawn so that each has one meaning, and relative dates refer to `spoken_values.NOW`.
"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

from voice_needle.training.draft import Style
from voice_needle.training.examples import Example
from voice_needle.training.hard_cases import Writer
from voice_needle.training.mixture import Mixture
from voice_needle.training.readers import DEFAULT_DATA
from voice_needle.training.templates import ToolSpec

COUNTS = (5, 10, 20, 40, 60)
FITTED_ON = (  # held-out domains that confidence is fitted on; the others are only measured on
    "boat", "laboratory", "card_controls", "combine_harvester", "email_aliases_and_filters", "general_map_routing", "general_music_theory",
    "ice_rink_machine", "labelling_tool", "luggage_handling", "medicine_cabinet", "metal_detector", "oscilloscope", "pool_robot",
    "toll_and_parking_app", "tv_recorder", "web_shop_admin",
)  # fmt: skip
_DIGITS = 0.15  # share in figures; the rest in words, as recognisers write


def development_sets(seed: int = 1, size: int = 600, data: Path = DEFAULT_DATA) -> dict[str, list[Example]]:
    """Name -> examples, the same for the same seed. Errors: TrainingDataMissing.

    held_out_domains, held_out_tools, fitting_domains (FITTED_ON): the natural mixture of kinds. kind_*: one kind each, of held-out
    domains. tools_N: the same requests with N tools on offer. home: Home Assistant's intents. dialogue: dialogue acts and corrections.
    """
    mixture = Mixture(seed, held_out=True, data=data, sources=("liu", "skills"))
    whole = {tool for domain in mixture.domains if domain.held_out for tool in domain.tools}
    single = {tool for domain in mixture.domains for tool in domain.tools if tool.held_out} - whole
    fitting = {tool for tool in whole if tool.domain in FITTED_ON}
    whole -= fitting
    sets = {
        "held_out_domains": _natural(mixture, _writer(mixture, whole), size),
        "held_out_tools": _natural(mixture, _writer(mixture, single), size // 2),
        "fitting_domains": _natural(mixture, _writer(mixture, fitting), size),
        "home": [mixture.from_home(style=_style(mixture.rng)) for _ in range(size)],
        "dialogue": [mixture.from_dialogue(Style(clear=True)) for _ in range(size // 2)],
    }
    writer = _writer(mixture, whole)
    for kind in writer.kinds:
        sets[f"kind_{kind}"] = [mixture.made(writer.case(kind, _style(mixture.rng)), _style(mixture.rng), "own")
                                for _ in range(size // 6)]  # fmt: skip
    sets.update(by_count(mixture, writer, size // 2))
    return {name: [item for item in found if mixture.may_be_used(item)] for name, found in sets.items()}


def measured_sets(size: int, data: Path = DEFAULT_DATA) -> dict[str, list[Example]]:
    """Of the development sets, those that published figures are measured on. Errors: TrainingDataMissing.

    held_out_domains: those that confidence was not fitted on either. home, and tools_N: the same requests with N tools on offer.
    """
    sets = development_sets(1, size, data)
    measured = {"held_out_domains": sets["held_out_domains"]}
    measured["home"] = sets["home"][: size // 2]
    for count in COUNTS:
        measured[f"tools_{count}"] = sets[f"tools_{count}"][: size // 4]
    return measured


def by_count(mixture: Mixture, writer: Writer, size: int) -> dict[str, list[Example]]:
    """The same requests with 5 to 60 tools on offer: the right ones are always among them."""
    sets: dict[str, list[Example]] = {f"tools_{count}": [] for count in COUNTS}
    while len(sets["tools_5"]) < size:
        style = _style(mixture.rng)
        kind = mixture.rng.choice(["intent", "intent", "chain", "correction", "near", "negation"])
        example = mixture.made(writer.case(kind, style), style, "own", COUNTS[-1], plain=True)
        right = {answer.tool for answer in example.answers}
        if len(example.tools) < COUNTS[-1] or len(right) > COUNTS[0]:
            continue
        others = [tool for tool in example.tools if tool["name"] not in right]
        for count in COUNTS:
            kept = {id(tool) for tool in others[: count - len(right)]}
            tools = tuple(tool for tool in example.tools if tool["name"] in right or id(tool) in kept)
            sets[f"tools_{count}"].append(replace(example, tools=tools))
    return sets


def _natural(mixture: Mixture, writer: Writer, size: int) -> list[Example]:
    kinds, shares = list(writer.kinds), [weight for weight, _ in writer.kinds.values()]
    found = []
    for _ in range(size):
        style = _style(mixture.rng)
        found.append(mixture.made(writer.case(mixture.rng.choices(kinds, shares)[0], style), style, "own"))
    return found


def _style(rng: random.Random) -> Style:
    return Style(digits=rng.random() < _DIGITS, clear=True)


def _writer(mixture: Mixture, tools: set[ToolSpec]) -> Writer:
    variants = {tool: found for tool, found in mixture.variants.items() if tool in tools}
    domains = [domain for domain in mixture.domains if any(tool in tools for tool in domain.tools)]
    return Writer(mixture.rng, domains, variants, mixture.frames, mixture.more)
