"""Looks into a plugin's Python files without running them: does the function exist, does it take these parameters?"""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from voice_needle.dispatch.problem import nearest

_Function = ast.FunctionDef | ast.AsyncFunctionDef


class Source:
    """The Python files of one plugin folder, each parsed at most once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._parsed: dict[str, tuple[dict[str, _Function | None], bool, str]] = {}

    def _names(self, module: str) -> tuple[dict[str, _Function | None], bool, str]:
        """Top-level names (with their function where it is one), whether others may exist, and why it cannot be read."""
        if module not in self._parsed:
            self._parsed[module] = _parse(self._folder / module)
        return self._parsed[module]

    def lacks(self, module: str, function: str) -> bool:
        names, open_ended, unreadable = self._names(module)
        return bool(unreadable) or (function not in names and not open_ended)

    def nearest(self, module: str, function: str) -> str:
        return nearest(function, self._names(module)[0])

    def mistakes(self, module: str, function: str, parameters: Mapping[str, bool]) -> Iterator[tuple[str, str]]:
        """(message, nearest name) for each reason why `function(ctx, **parameters)` cannot be called.

        parameters: name -> whether every call gives it.
        """
        names, open_ended, unreadable = self._names(module)
        if unreadable:
            yield unreadable, ""
            return
        if function not in names:
            if not open_ended:
                yield f"{module} has no function {function}", self.nearest(module, function)
            return
        found = names[function]
        if found is None:  # imported or assigned: only running it would tell
            return
        accepted = [argument.arg for argument in (*found.args.args, *found.args.kwonlyargs)]
        if not accepted and not found.args.vararg:
            yield f"{function} in {module}:{found.lineno} takes no context: its first parameter must be ctx", ""
            return
        accepted = [name for name in accepted if name != (found.args.args[0].arg if found.args.args else "")]
        for parameter in parameters:
            if parameter not in accepted and not found.args.kwarg:
                message = f"{function} in {module}:{found.lineno} does not take '{parameter}'"
                yield message, nearest(parameter, accepted)
        defaults = len(found.args.defaults)
        must = [argument.arg for argument in found.args.args[1 : len(found.args.args) - defaults or None]]
        must += [
            argument.arg
            for argument, default in zip(found.args.kwonlyargs, found.args.kw_defaults, strict=True)
            if default is None
        ]
        for name in must:
            if name not in parameters:
                message = f"{function} in {module}:{found.lineno} wants '{name}', which the tool has not"
                yield message, nearest(name, parameters)
            elif not parameters[name]:
                yield f"{function} in {module}:{found.lineno} needs '{name}', which a call may leave out", ""


def _tree(path: Path) -> ast.Module:
    source = path.read_bytes()
    for _ in range(4):
        with contextlib.suppress(SystemError):  # CPython counts the depth of all threads' parsing in one place (gh-106905)
            return ast.parse(source, filename=str(path))
    return ast.parse(source, filename=str(path))


def _parse(path: Path) -> tuple[dict[str, _Function | None], bool, str]:
    try:
        tree = _tree(path)
    except OSError:
        return {}, False, f"there is no file {path.name} beside the manifest"
    except SyntaxError as error:
        return {}, False, f"{path.name}:{error.lineno}: {error.msg}"
    except ValueError as error:
        return {}, False, f"{path.name}: {error}"
    names: dict[str, _Function | None] = {}
    open_ended = False
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(names=aliases):
                open_ended |= any(alias.name == "*" for alias in aliases)
                names |= {alias.asname or alias.name: None for alias in aliases}
            case ast.Assign(targets=targets):
                names |= {target.id: None for target in targets if isinstance(target, ast.Name)}
    names |= {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    return names, open_ended, ""
