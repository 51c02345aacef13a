"""Stands in for the vendor's package, whose weights cannot be shipped: a module `needle` that keeps the package's documented contract.

Put on the worker's path as `needle`. What it answers is steered by the request's own words, so that a test reads as a dialogue.
"""

import json
import os
import subprocess
import sys
import time

__version__ = "0-fake"


def answer(**more):
    return {
        "type": "call",
        "success": True,
        "error": None,
        "function_calls": [],
        "suppressed_calls": [],
        "confidence": 0.93,
        "validation": {"ungrounded": [], "negation": False},
        **more,
    }


class Needle:
    def __init__(self, tools=None, system=None, weights=None, auto_date=True):
        if weights and weights.endswith("broken.cact"):
            raise RuntimeError(f"{weights} is not a complete .cact archive")
        if weights and weights.endswith("nolibrary.cact"):
            raise OSError("libneedle3.so: cannot open shared object file")
        if auto_date:
            raise RuntimeError("the minute would change the answers")
        self.tools, self.turns, self.child = json.loads(json.dumps(tools)), 0, None
        print("a banner on standard output that must not disturb the protocol")

    def reset(self):
        self.turns = 0

    def close(self):
        pass

    def complete(self, text, max_new_tokens):
        self.turns += 1
        light = {"name": "light_set", "arguments": {"room": "kitchen"}}
        if text == "hang":
            self.child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
            with open(os.environ["FAKE_PIDS"], "w") as out:
                out.write(f"{os.getpid()} {self.child.pid}")
            time.sleep(60)
        if text == "die":
            os._exit(3)
        if text == "raise":
            raise RuntimeError("engine returned an unparseable envelope")
        table = {
            "light": answer(function_calls=[light]),
            "unsure": answer(function_calls=[light], confidence=0.2),
            "tuned": answer(function_calls=[light], confidence=None),
            "joke": answer(type="respond", confidence=1.0),
            "held": answer(suppressed_calls=[light], confidence=0.05),
            "invented": answer(function_calls=[light], validation={"ungrounded": ["light_set.room"], "negation": False}),
            "not": answer(function_calls=[light], validation={"ungrounded": [], "negation": True}),
            "old": {"type": "call", "success": True, "function_calls": [light], "confidence": 0.9},
            "cut": answer(success=False, error="output truncated", error_code="truncated"),
            "overflow": answer(type="error", error_code="context_overflow"),
            "malformed": answer(function_calls=[{"name": "light_set", "arguments": "room=kitchen"}]),
            "nothing": {"success": True},
            "fifty": answer(function_calls=[{"name": "light_set", "arguments": {"room": "kitchen", "level": 50}}]),
            "turns": answer(function_calls=[{"name": "light_set", "arguments": {"room": "kitchen"}}], confidence=self.turns / 10),
            "telemetry": answer(function_calls=[light], confidence=float(os.environ["NEEDLE_TELEMETRY"] == "0" and os.environ["DO_NOT_TRACK"] == "1" and os.environ["HF_HUB_OFFLINE"] == "1")),
        }  # fmt: skip
        return table.get(text.split()[-1], answer(type="respond"))
