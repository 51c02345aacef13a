"""Home Assistant's own intents and English sentence templates (OHF-Voice/intents, CC BY 4.0) as a domain of the corpus.

The templates name rules and lists that the archive does not hold; those are written here. A slot of the form
{list__parameter} draws from a list of its own and fills the parameter.
"""

from __future__ import annotations

import io
import random
import re
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from voice_needle.route.stitch.annotate import HOME_ASSISTANT, annotate
from voice_needle.training.draft import Draft, Style
from voice_needle.training.expand import TemplateError, parse
from voice_needle.training.hard_cases import Writer
from voice_needle.training.readers import TrainingDataMissing
from voice_needle.training.templates import Domain, Parameter, ToolSpec, Variant

NAME = "home_assistant"
_RULES = {
    "the": "(the|my)", "in": "(in|on|at)", "light": "(light|lights|lamps)", "turn": "(turn|switch|put)",
    "all": "(all|all the|all of the|every)", "is": "(is|are)", "numeric_value_set": "(set|change|turn|adjust|make|increase|decrease)",
    "timer_remove": "(remove|take|subtract)", "timer_set": "(set|start|create|begin)", "here": "(here|in here|in this room)",
    "are_any": "(are any|is any|are there any)", "are_all": "(are all|are all the|are all of the)", "which": "(which|what)",
    "how_many": "how many", "lockable": "(door|doors|lock|locks)", "set": "(set|change|turn|make)",
    "open": "(open|raise|lift)", "close": "(close|shut|lower)", "timer_cancel": "(cancel|stop|end|delete)",
    "what_is": "(what is|what's|tell me)", "temp": "(temp|temperature)", "everywhere": "(everywhere|in the whole house)",
    "how_is": "(how is|how's)", "clean": "(clean|vacuum|sweep)", "home": "(home|base|dock)", "where_is": "(where is|where's)",
}  # fmt: skip
_COUNT = {"type": "integer", "min": 1, "max": 59}
_NUMBERS: Mapping[str, Mapping[str, Any]] = {
    "hours": {**_COUNT, "max": 12}, "start_hours": {**_COUNT, "max": 12}, "minutes": _COUNT, "start_minutes": _COUNT,
    "seconds": _COUNT, "start_seconds": _COUNT, "brightness": {"min": 0, "max": 100}, "position": {"min": 0, "max": 100},
    "volume_level": {"min": 0, "max": 100}, "percentage": {"min": 0, "max": 100}, "temperature": {"min": 5, "max": 32, "step": 0.5},
    "volume_step": {"min": 5, "max": 50},
}  # fmt: skip
_CHOICES: Mapping[str, Mapping[Any, Sequence[str]]] = {  # {list__parameter} -> value -> words
    "timer_half": {30: ["half"]}, "half_hour": {30: ["half an hour"]}, "half_minute": {30: ["half a minute"]},
    "brightness_level": {100: ["maximum", "max", "highest", "brightest"], 1: ["minimum", "min", "lowest", "dimmest"]},
    "color_temperature_names": {2700: ["warm white"], 4000: ["neutral white"], 6500: ["daylight", "cool white"],
                                1900: ["candlelight", "candle"]},
    "volume_step": {"up": ["up"], "down": ["down"]},
    "cover_classes": HOME_ASSISTANT["device_class"][1],
    "cover_states": {"open": ["open"], "closed": ["closed"]},
    "lock_states": {"locked": ["locked"], "unlocked": ["unlocked"]},
    "bs_open_states": {"on": ["open"], "off": ["closed"]},
    "bs_occupancy_states": {"on": ["occupied", "detected", "triggered"], "off": ["clear", "unoccupied"]},
    "on_off_states": {"on": ["on"], "off": ["off"]},
    "zone": {"home": ["home", "at home"], "not_home": ["away", "not home"], "work": ["work", "at work"], "school": ["school"]},
    "media_class": {"album": ["album"], "artist": ["artist", "band"], "playlist": ["playlist"], "track": ["track", "song"],
                    "movie": ["movie", "film"], "tv_show": ["tv show", "show", "series"], "podcast": ["podcast"],
                    "genre": ["genre"], "channel": ["channel"], "game": ["game"]},
}  # fmt: skip
_WORDS: Mapping[str, Sequence[str]] = {
    "floor": ["first floor", "second floor", "ground floor", "upstairs", "downstairs", "top floor", "third floor", "upper floor",
              "lower floor", "main floor"],
    "timer_name": ["pasta", "eggs", "laundry", "tea", "pizza", "bread", "homework", "nap", "oven", "rice", "cookies", "workout", "bath",
                   "meeting", "chicken", "break", "reading", "potatoes", "soup", "game", "parking", "washing machine"],
    "command": ["open the garage door", "turn off the lights", "close the blinds", "lock the front door", "play some music",
                "turn on the heater", "start the vacuum", "turn the fan on", "pause the tv", "dim the bedroom lamp"],
    "list_name": ["shopping", "chores", "groceries", "packing", "work", "garden", "party", "weekend", "hardware store", "to do"],
    "message": ["dinner is ready", "we are leaving", "time for bed", "the taxi is here", "come downstairs please", "i'm home"],
    "light_name": ["{room} light", "{room} lamp", "bedside lamp", "floor lamp", "desk lamp", "overhead light", "porch light", "play corner",
                   "reading corner", "christmas tree", "ceiling light", "night light", "bedroom lamp", "{light_device}"],
    "fan_name": ["ceiling fan", "{room} fan", "tower fan", "desk fan", "exhaust fan", "{fan_device}"],
    "cover_name": ["{room} blinds", "left curtain", "garage door", "patio awning", "main valve", "water valve", "{room} curtains",
                   "right shutter", "{blinds_device}", "{garage_door_device}"],
    "player_name": ["tv", "television", "speaker", "stereo", "{room} speaker", "{room} tv", "soundbar", "radio", "{media_player_device}"],
    "climate_name": ["thermostat", "{room} thermostat", "heater", "radiator", "heat pump", "air conditioner", "{climate_device}"],
    "vacuum_name": ["robot vacuum", "vacuum", "rover", "dusty", "{room} vacuum", "{vacuum_device}"],
    "mower_name": ["mower", "lawn mower", "garden mower", "robot mower", "front lawn mower"],
    "weather_name": ["{city}", "home", "the office", "the cabin", "work"],
    "any_name": ["{light_name}", "{light_name}", "{fan_name}", "{cover_name}", "{player_name}", "front door", "back door", "side door",
                 "coffee maker", "heater", "air purifier", "sprinkler", "{switch_device}", "{lock_device}"],
    "sensor_name": ["{any_name}", "{any_name}", "motion sensor", "smoke detector", "outside temperature", "humidity sensor",
                    "sliding door", "front door", "window sensor", "{person}", "{room} light", "water leak sensor", "battery level"],
    "scene_name": ["party time", "movie night", "good night", "dinner", "relax", "morning routine", "away", "cleaning", "welcome home"],
}  # fmt: skip
_NAMED = {"area": ["{room}"], "floor": ["{floor}"],
          "color": ["{colour}"], "search_query": ["{artist}", "{song}", "{album}", "{film}", "{playlist}", "{genre}"],
          "message": ["{message}"], "item": ["{item}"], "conversation_command": ["{command}"], "state": ["{state}"]}  # fmt: skip
_NAMES = (("Timer", "timer_name"), ("List", "list_name"), ("Media", "player_name"), ("Volume", "player_name"),
          ("Climate", "climate_name"), ("Vacuum", "vacuum_name"), ("Lawn", "mower_name"), ("Weather", "weather_name"),
          ("Fan", "fan_name"), ("Light", "light_name"), ("Position", "cover_name"), ("State", "sensor_name"))  # fmt: skip
_IMPLIES_DOMAIN = ("HassTurnOn", "HassTurnOff", "HassSetPosition")


class HomeWriter(Writer):
    """Writes cases of Home Assistant's intents: the same kinds as for any domain, less those that need enums or near lines."""

    def __init__(self, rng: random.Random, domain: Domain, variants: Mapping[ToolSpec, Sequence[Variant]],
                 frames: Mapping[str, Any], more: Mapping[str, Sequence[str]]) -> None:  # fmt: skip
        super().__init__(rng, [domain], variants, frames, more)
        self.kinds = {
            name: found for name, found in self.kinds.items() if name not in ("unknown_value", "near", "none")
        }
        self.kinds["intent"] = (150, self.intent)
        self.shares = [len(tool.say) ** 0.6 for tool in self.tools]

    def _pick(self, tool: ToolSpec | None = None) -> Variant:
        """Intents with many templates more often than those with two."""
        return super()._pick(tool or self.rng.choices(self.tools, self.shares)[0])

    def _request(self, style: Style, variant: Variant | None = None, *, imperative_only: bool = False,
                 avoid: Mapping[str, Any] | None = None) -> Draft | None:  # fmt: skip
        draft = super()._request(style, variant, imperative_only=imperative_only, avoid=avoid)
        if draft is None:
            return None
        call = draft.calls[0]
        found = {name.split("__")[-1]: value for name, value in call.arguments.items()}
        if len(found) < len(call.arguments):
            return None
        domain = str(found.pop("domain", ("", -1))[0])
        if domain and call.variant.tool.names[0] in _IMPLIES_DOMAIN:
            found["domain"] = (domain, -1)
        call.arguments = found
        draft.tokens = [token for token in draft.tokens if token.word != "\0"]
        return draft if draft.tokens else None


def read(data: Path, lists: Mapping[str, Sequence[str]], devices: Mapping[str, Sequence[str]]) -> Domain:
    """The intents as a domain. lists: the corpus's shared lists. Errors: TrainingDataMissing."""
    path = data / "router" / "templates" / "ohf_intents_en.tar.xz"
    if not path.is_file():
        raise TrainingDataMissing(path)
    templates: dict[str, list[str]] = {}
    intents: dict[str, Any] = {}
    with tarfile.open(path) as archive:
        for member in sorted(archive.getmembers(), key=lambda item: item.name):
            if not member.isfile() or not member.name.endswith(".yaml"):
                continue
            content = yaml.safe_load(io.TextIOWrapper(archive.extractfile(member) or io.BytesIO(), encoding="utf-8"))
            parts = Path(member.name).parts
            if parts[-1] == "intents.yaml":
                intents = content
            elif parts[-2].startswith("Hass"):
                templates.setdefault(parts[-2], []).extend(_sentences(content["data"]))
    values = {**lists, **_WORDS, **devices, "state": ["on", "off", "open", "closed", "locked", "unlocked"]}
    tools = tuple(_tool(name, intents[name], tuple(said)) for name, said in templates.items() if name in intents)
    return Domain(NAME, False, values, tools, ())


def _sentences(blocks: Sequence[Mapping[str, Any]]) -> list[str]:
    """The templates with rules written out; the domain that a block implies stands as a silent slot at the end."""
    found = []
    for block in blocks:
        for sentence in block["sentences"]:
            text = re.sub(r"<(\w+)>", lambda match: _RULES[match.group(1)], sentence.lower())
            text = re.sub(r"\{(volume_step|media_class)\}", r"{\1__\1}", text)
            text = re.sub(r"\{(\w+):(\w+)\}", lambda match: _slot(match.group(1), match.group(2)), text)
            text = re.sub(r"\{timer_half__(\w+)\} an? (hour|minute)\[s\]", r"{half_\2__\1}", text)
            text = text.replace("{floor} [floor]", "{floor}")
            text = re.sub(r"(hour|minute|second)\[s\]", r"\1(s|s|)", text.replace("( |-)", " "))
            if "inferred_domain" in block:
                text += " {implied_" + block["inferred_domain"] + "__domain}"
            try:
                parse(text)
            except TemplateError:
                continue
            found.append(text)
    return found


def _slot(source: str, parameter: str) -> str:
    if source in _CHOICES:
        return "{" + source + "__" + parameter + "}"
    return "{" + {"timer_name": "timer_name__name", "todo_list_item": "item"}.get(source, parameter) + "}"


def _tool(name: str, intent: Mapping[str, Any], said: tuple[str, ...]) -> ToolSpec:
    parameters: dict[str, Parameter] = {}
    for slot, found in (intent.get("slots") or {}).items():
        about = (str((found or {}).get("description") or ""),)
        if slot in _NUMBERS:
            spec = (
                {"min": 2000, "max": 6500, "step": 100}
                if (name, slot) == ("HassLightSet", "temperature")
                else _NUMBERS[slot]
            )
            parameters[slot] = Parameter(slot, (slot,), about, "number" if "step" in spec else "integer", spec=spec)
        elif slot in ("domain", "device_class", "media_class"):
            forms = HOME_ASSISTANT[slot][1] if slot in HOME_ASSISTANT else _CHOICES[slot]
            parameters[slot] = Parameter(slot, (slot,), about, "enum", forms)
        elif slot == "name":
            called = next((words for part, words in _NAMES if part in name), "any_name")
            parameters[slot] = Parameter(slot, (slot,), about, "open", [f"{{{called}}}"])
        else:
            parameters[slot] = Parameter(slot, (slot,), about, "open", _NAMED.get(slot, ["{any_name}"]))
    for template in said:
        for slot in re.findall(r"\{(\w+__\w+)\}", template):
            source = slot.split("__")[0]
            if source.startswith("implied_"):
                parameters[slot] = Parameter(slot, (slot,), ("",), "enum", {source.removeprefix("implied_"): ["\0"]})
            elif source == "timer_name":
                parameters[slot] = Parameter(slot, (slot,), ("",), "open", ["{timer_name}"])
            else:
                parameters[slot] = Parameter(slot, (slot,), ("",), "enum", _CHOICES[source])
    about_tool = (str(intent.get("description") or ""),)
    asks = name.startswith(("HassGet", "HassTimerStatus", "HassClimateGet"))
    return ToolSpec(NAME, (name,), about_tool, parameters, said, (), changes=not asks)


def variants(tool: ToolSpec, rng: random.Random, count: int) -> list[Variant]:
    """Renderings: as Home Assistant writes it, annotated; later ones under other names and with real number types."""
    shown = {slot: item for slot, item in tool.parameters.items() if "__" not in slot}
    made = []
    for number in range(count):
        properties: dict[str, dict[str, Any]] = {}
        for slot, item in shown.items():
            properties[slot] = {"type": "string", "description": item.descriptions[0]}
            if number > count // 2 and item.type in ("integer", "number") and slot != "volume_step":
                properties[slot]["type"] = "number"
                properties[slot]["x-unit"] = _unit(slot, item.spec["max"])
        name = tool.names[0] if number <= count // 2 else _renamed(tool.names[0], rng)
        schema = annotate({"name": name, "description": tool.descriptions[0],
                           "parameters": {"type": "object", "properties": properties, "required": []}})  # fmt: skip
        choices = {slot: {value: value for value in item.forms}
                   for slot, item in tool.parameters.items() if item.type == "enum"}  # fmt: skip
        names = {slot: slot for slot in tool.parameters} | {"domain": "domain"}
        made.append(Variant(tool, schema, names, choices))
    return made


def _unit(slot: str, largest: float) -> str:
    if slot == "temperature":
        return "celsius" if largest < 100 else "kelvin"
    return "percent" if largest == 100 else slot.split("_")[-1].rstrip("s")


def _renamed(name: str, rng: random.Random) -> str:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.removeprefix("Hass")).lower()
    return rng.choice([words, "home." + words, "intent_" + words, words.replace("_", "-")])
