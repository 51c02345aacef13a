"""Modules of a bundled plugin for the tests that look behind its handlers: `part("warehouse", "stock")`."""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any

from voice_needle.dispatch.registry import bundled_folder


def part(plugin: str, module: str) -> Any:
    """A module of the plugin's folder, which is imported as a package of its own."""
    name = f"voice_needle_tests_{plugin}"
    if name not in sys.modules:
        package = types.ModuleType(name)
        package.__path__ = [str(bundled_folder() / plugin)]
        sys.modules[name] = package
    return importlib.import_module(f"{name}.{module}")
