"""What the whole pipeline makes of a sound file, a JSON line a turn: cores.py FILE. Run on each kind of processor by cores.sh.

Words, decision, calls, results and answer are printed; no time and no score, which differ from one processor to the next.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from voice_needle.cli.run import run

CONFIG = "transcribe: {engine: sphinx}\nspeak: {engine: espeak}\n"


def turns(file: str) -> list[dict]:
    with tempfile.TemporaryDirectory() as folder:
        config, trace = Path(folder, "config.yaml"), Path(folder, "trace.jsonl")
        config.write_text(CONFIG + f"data_dir: {folder}/data\n")
        words = ["--input", file, "--output", f"{folder}/answer.wav", "--plugin", "desk", "--config", config, "--trace", trace]
        run.main([str(each) for each in words], standalone_mode=False)
        return [json.loads(line) for line in trace.read_text().splitlines()]


def essence(turn: dict) -> dict[str, object]:
    decision = turn["decision"] or {"outcome": None, "calls": [], "reason": None}
    return {
        "text": turn["transcript"] and turn["transcript"]["text"],
        "outcome": decision["outcome"],
        "reason": decision["reason"],
        "calls": [[call["tool"], call["arguments"]] for call in decision["calls"]],
        "results": [result["status"] for result in turn["results"]],
        "said": turn["said"],
    }


if __name__ == "__main__":
    for each in turns(sys.argv[1]):
        print(json.dumps(essence(each), sort_keys=True), flush=True)
