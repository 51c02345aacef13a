"""The language of valid answers: a byte-level grammar over the JSON that a toolset allows, "[]" included.

A state is a set of stacks (a pushdown automaton that keeps all readings at once); its top items are bytes still to come, the inside of a
string, the inside of a number, or a rule to be replaced by its alternatives. Names, keys, required and optional parameters, enums, booleans,
number shapes, list lengths and nesting come from the schemas; strings are free but bounded and always closed. Ranges and patterns are not
part of it on purpose: a model that is only allowed to write 100 would turn "150 percent" into a hundred. They are checked afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from voice_needle.route.schemas import LIST_TYPES, resolved

CALLS, ITEMS, DIGITS, STRING = 5, 17, 15, 200  # bounds; an answer that reaches one is taken as cut short
_DEPTH = 4
Item = Any  # bytes | ("s", lexer state, bytes left) | ("n", phase, digits left, whole) | ("r", rule number)
Stack = Any  # (item, stack below) or None
_QUOTE, _BACKSLASH = 0x22, 0x5C

# --- the inside of a JSON string, byte by byte (RFC 8259, RFC 3629) ----------------------------------------------------

_OPEN, _ESCAPE, _HEX4, _HEX3, _HEX2, _HEX1, _LOW3, _MORE1, _MORE2, _MORE3, _E0, _ED, _F0, _F4 = range(14)
_LONG = {0xE0: (_E0, 3), 0xED: (_ED, 3), 0xF0: (_F0, 4), 0xF4: (_F4, 4)}
_CONTINUE = {_MORE1: (0x80, 0xBF, _OPEN), _MORE2: (0x80, 0xBF, _MORE1), _MORE3: (0x80, 0xBF, _MORE2), _E0: (0xA0, 0xBF, _MORE1),
             _ED: (0x80, 0x9F, _MORE1), _F0: (0x90, 0xBF, _MORE2), _F4: (0x80, 0x8F, _MORE2)}  # fmt: skip
_HEX = frozenset(b"0123456789abcdefABCDEF")
_AFTER_HEX = {_HEX4: _HEX3, _HEX3: _HEX2, _HEX2: _HEX1, _HEX1: _OPEN, _LOW3: _HEX2}
FINISH = {_OPEN: 0, _ESCAPE: 1, _HEX4: 4, _HEX3: 3, _HEX2: 2, _HEX1: 1, _LOW3: 3, _MORE1: 1, _MORE2: 2, _MORE3: 3, _E0: 2, _ED: 2, _F0: 3, _F4: 3}  # fmt: skip


def lex(state: int, byte: int) -> tuple[int, int] | None:
    """(next state, bytes that the string must still have room for, this one included), or None. Quotes are not for here."""
    if state == _OPEN:
        if byte == _BACKSLASH:
            return _ESCAPE, 6
        if 0x20 <= byte < 0x7F and byte != _QUOTE:
            return _OPEN, 1
        if 0xC2 <= byte <= 0xDF:
            return _MORE1, 2
        if byte in _LONG:
            return _LONG[byte]
        if 0xE1 <= byte <= 0xEF:
            return _MORE2, 3
        return (_MORE3, 4) if 0xF1 <= byte <= 0xF3 else None
    if state == _ESCAPE:
        if byte == ord("u"):
            return _HEX4, 5
        return (_OPEN, 1) if byte in b'"\\/bfnrt' else None
    if state in _CONTINUE:
        low, high, after = _CONTINUE[state]
        return (after, 1) if low <= byte <= high else None
    if byte not in _HEX or (state == _LOW3 and byte not in b"01234567"):
        return None
    if state == _HEX4 and byte in b"dD":
        return _LOW3, 1  # D800 to DFFF are halves of pairs, not characters
    return _AFTER_HEX[state], 1


# --- the inside of a number ------------------------------------------------------------------------------------------

_START, _MINUS, _ZERO, _WHOLE, _POINT, _FRACTION = range(6)
_ENDS = (_ZERO, _WHOLE, _FRACTION)


def _number(phase: int, left: int, whole: bool, byte: int) -> tuple[int, int] | None:
    digit = 0x30 <= byte <= 0x39
    if byte == ord("-") and phase == _START:
        return _MINUS, left
    if byte == ord(".") and phase in (_ZERO, _WHOLE) and not whole and left:
        return _POINT, left
    if not digit or not left or phase == _ZERO:
        return None
    if phase in (_START, _MINUS):
        return (_ZERO if byte == 0x30 else _WHOLE), left - 1
    return (_WHOLE if phase == _WHOLE else _FRACTION), left - 1


class Grammar:
    """Valid answers for `tools`: (name as the model knows it, JSON Schema of the parameters). States are small integers."""

    def __init__(self, tools: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        self._rules: list[tuple[str, Any]] = []
        self._known: dict[Any, int] = {}
        self._alternatives: dict[int, tuple[tuple[Item, ...], ...]] = {}
        self._least: dict[Item, int] = {}
        self._states: list[frozenset[Stack]] = []
        self._ids: dict[frozenset[Stack], int] = {}
        self._steps: dict[tuple[int, int], int] = {}
        self._shortest: dict[int, int] = {}
        calls = [
            (b'{"name":' + _json(name) + b',"arguments":{', *self._object(schema, 0), b"}") for name, schema in tools
        ]
        call = self._rule("any", tuple(calls))
        body = self._rule(
            "any", ((b"[]",), (b"[", call, self._rule("more", (call, CALLS - 1)))) if tools else ((b"[]",),)
        )
        self.start = self._state(self._opened(((body, None), (b" ", (body, None)))))
        self.longest_detour = 64 + max((self._all_of(schema) + len(name) for name, schema in tools), default=0)

    # --- walking -----------------------------------------------------------------------------------------------------

    def step(self, state: int, byte: int) -> int:
        """The state after one more byte, or -1 where it does not belong there."""
        found = self._steps.get((state, byte))
        if found is None:
            after = [stack for each in self._states[state] for stack in self._stepped(each, byte)]
            found = self._steps[state, byte] = self._state(self._opened(after)) if after else -1
        return found

    def walk(self, state: int, content: bytes) -> int:
        """`step` for each byte."""
        for byte in content:
            state = self.step(state, byte)
            if state < 0:
                break
        return state

    def finished(self, state: int) -> bool:
        """Whether the answer is whole: nothing may follow, since every answer ends in a bracket."""
        return None in self._states[state]

    def shortest(self, state: int) -> int:
        """Bytes of the shortest way to a whole answer."""
        if state not in self._shortest:
            self._shortest[state] = min(self._to_end(stack) for stack in self._states[state])
        return self._shortest[state]

    def in_string(self, state: int) -> tuple[int, Stack] | None:
        """(bytes left, stack below) where the state is nothing but the plain inside of a string."""
        stacks = self._states[state]
        if len(stacks) != 1:
            return None
        (stack,) = stacks
        if stack is None or not isinstance(stack[0], tuple) or stack[0][:2] != ("s", _OPEN):
            return None
        return stack[0][2], stack[1]

    def after_string(self, below: Stack) -> int:
        """The state after a string's closing quote."""
        return self._state(self._opened((below,)))

    def _stepped(self, stack: Stack, byte: int) -> Iterator[Stack]:
        if stack is None:
            return
        item, below = stack
        if isinstance(item, bytes):
            if item[0] == byte:
                yield (item[1:], below) if len(item) > 1 else below
        elif item[0] == "s":
            _, state, left = item
            if state == _OPEN and byte == _QUOTE:
                yield below
            elif (found := lex(state, byte)) is not None and found[1] <= left:
                yield (("s", found[0], left - 1), below)
        elif (number := _number(item[1], item[2], item[3], byte)) is not None:
            yield (("n", *number, item[3]), below)

    def _opened(self, stacks: Sequence[Stack]) -> frozenset[Stack]:
        """Every stack with its top rule replaced, and with a number that may end here also ended."""
        found: set[Stack] = set()
        waiting = list(stacks)
        while waiting:
            stack = waiting.pop()
            if stack is None or isinstance(stack[0], bytes) or stack[0][0] == "s":
                found.add(stack)
            elif stack[0][0] == "n":
                found.add(stack)
                if stack[0][1] in _ENDS:
                    waiting.append(stack[1])
            else:
                for alternative in self._expand(stack[0][1]):
                    below = stack[1]
                    for item in reversed(alternative):
                        below = (item, below)
                    waiting.append(below)
        return frozenset(found)

    def _state(self, stacks: frozenset[Stack]) -> int:
        number = self._ids.get(stacks)
        if number is None:
            number = self._ids[stacks] = len(self._states)
            self._states.append(stacks)
        return number

    @property
    def size(self) -> int:
        """States met so far."""
        return len(self._states)

    def _to_end(self, stack: Stack) -> int:
        total = 0
        while stack is not None:
            total += self._least_of(stack[0])
            stack = stack[1]
        return total

    def _least_of(self, item: Item) -> int:
        if isinstance(item, bytes):
            return len(item)
        if item[0] == "s":
            return FINISH[item[1]] + 1
        if item[0] == "n":
            return 0 if item[1] in _ENDS else 1
        if item not in self._least:
            self._least[item] = min(sum(map(self._least_of, each)) for each in self._expand(item[1]))
        return self._least[item]

    # --- rules -------------------------------------------------------------------------------------------------------

    def _rule(self, kind: str, content: Any) -> Item:
        key = (kind, content)
        if key not in self._known:
            self._known[key] = len(self._rules)
            self._rules.append(key)
        return ("r", self._known[key])

    def _expand(self, number: int) -> tuple[tuple[Item, ...], ...]:
        found = self._alternatives.get(number)
        if found is None:
            kind, content = self._rules[number]
            found = self._alternatives[number] = tuple(getattr(self, f"_expand_{kind}")(content))
        return found

    def _expand_any(self, content: tuple[tuple[Item, ...], ...]) -> Iterator[tuple[Item, ...]]:
        yield from content

    def _expand_more(self, content: tuple[Item, int]) -> Iterator[tuple[Item, ...]]:
        """What follows a call; one reading at a time, so that the states in a string stay single."""
        call, left = content
        yield (b"]",)
        if left > 0:
            yield (b",", call, self._rule("more", (call, left - 1)))

    def _expand_object(self, content: Any) -> Iterator[tuple[Item, ...]]:
        """What may follow in an object: (key, value items, required) of each parameter not yet written."""
        parameters, first = content
        if not any(required for _, _, required in parameters):
            yield (b"}",)
        for parameter in parameters:
            key, value, _ = parameter
            rest = tuple(each for each in parameters if each is not parameter)
            yield ((b"" if first else b",") + key + b":", *value, self._rule("object", (rest, False)))

    def _expand_list(self, content: Any) -> Iterator[tuple[Item, ...]]:
        value, least, left, first = content
        if least <= 0:
            yield (b"]",)
        if left > 0:
            yield (*(() if first else (b",",)), *value, self._rule("list", (value, least - 1, left - 1, False)))

    def _object(self, schema: Mapping[str, Any], depth: int) -> tuple[Item, ...]:
        """The rest of an object after its opening brace."""
        properties, required = schema.get("properties"), schema.get("required")
        names = required if isinstance(required, (list, tuple)) else ()
        parameters = tuple(
            (_json(name), self._value(each if isinstance(each, Mapping) else {}, depth + 1), name in names)
            for name, each in (properties.items() if isinstance(properties, Mapping) else ())
        )
        return (self._rule("object", (parameters, True)),)

    def _value(self, schema: Mapping[str, Any], depth: int) -> tuple[Item, ...]:
        """The items of one value of `schema`."""
        schema = resolved(schema)
        if isinstance(schema.get("enum"), list) and schema["enum"]:
            return (self._rule("any", tuple((form,) for value in schema["enum"] for form in _forms(value))),)
        if "const" in schema:
            return (self._rule("any", tuple((form,) for form in _forms(schema["const"]))),)
        for word in ("anyOf", "oneOf"):
            options = schema.get(word)
            if isinstance(options, list) and options and depth < _DEPTH:
                given = [each for each in options if isinstance(each, Mapping)]
                return (
                    (self._rule("any", tuple(self._value(each, depth + 1) for each in given)),)
                    if given
                    else self._scalar("")
                )
        declared = schema.get("type")
        if isinstance(declared, list) and declared:
            options = tuple(
                self._value({**schema, "type": each}, depth + 1) for each in declared if isinstance(each, str)
            )
            return (self._rule("any", options),) if options and depth < _DEPTH else self._scalar("")
        kind = declared.lower() if isinstance(declared, str) else "object" if "properties" in schema else ""
        if kind in LIST_TYPES and depth < _DEPTH:
            items = schema.get("items")
            least, most = _bound(schema, "minItems", 0), _bound(schema, "maxItems", ITEMS)
            inner = self._value(items if isinstance(items, Mapping) else {}, depth + 1)
            return (b"[", self._rule("list", (inner, least, max(least, min(most, ITEMS)), True)))
        if kind in ("object", "dict", "map"):
            return (b"{", *self._object(schema, depth)) if depth < _DEPTH else (b"{}",)
        return self._scalar(kind)

    def _scalar(self, kind: str) -> tuple[Item, ...]:
        text, flag = (b'"', ("s", _OPEN, STRING)), self._rule("any", ((b"true",), (b"false",)))
        if kind in ("integer", "int", "long"):
            return (("n", _START, DIGITS, True),)
        if kind in ("number", "float", "double", "decimal"):
            return (("n", _START, DIGITS, False),)
        if kind in ("boolean", "bool"):
            return (flag,)
        if kind == "null":
            return (b"null",)
        if kind in ("any", ""):
            return (self._rule("any", (text, (("n", _START, DIGITS, False),), (flag,))),)
        return text

    def _all_of(self, schema: Mapping[str, Any]) -> int:
        """Bytes of the shortest call that writes every parameter."""
        properties = schema.get("properties")
        if not isinstance(properties, Mapping):
            return 0
        return sum(
            len(_json(name)) + 2 + sum(map(self._least_of, self._value(each if isinstance(each, Mapping) else {}, 1)))
            for name, each in properties.items()
        )


def _bound(schema: Mapping[str, Any], key: str, otherwise: int) -> int:
    value = schema.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else otherwise


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _forms(value: Any) -> list[bytes]:
    """A fixed value as JSON: with escapes, and as it is."""
    return list(dict.fromkeys([_json(value), json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()]))
