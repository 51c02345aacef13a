"""What the embedded recogniser reads (grammar, language model, dictionary), compiled from the tools once and kept on disk.

Compiling takes seconds and, in Python, memory that a small board does not have beside the models. So it is done by a process of
its own, `python -m voice_needle.transcribe.compiled FOLDER` with the pickled tools on its standard input, which gives all of it
back when it ends. A folder is believed only if its files are those that were written: after a power cut it is compiled again.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from voice_needle import errors
from voice_needle.errors import EngineFailed, EngineMissing, StorageError, VoiceNeedleError
from voice_needle.tools import Tool, Toolset

DICTIONARY, FILLERS = "tools.dict", "fillers.dict"
GRAMMAR, REPLIES, MODEL = "tools.fsg", "replies.fsg", "tools.arpa"
FILES = (DICTIONARY, FILLERS, GRAMMAR, REPLIES, MODEL)
COMPLETE = "complete"
KEPT = 4  # compiled toolsets that stay on disk: the last used ones
LONGEST_S = 900.0
_PARTS = (
    "compiled", "grammar", "patterns", "spoken_values", "identifiers", "automaton", "network", "stumbles", "language_model", "pronounce",
)  # fmt: skip


def compiled(tools: Toolset, root: Path, *, full: bool = True) -> Path:
    """The folder under `root` with everything for these tools, compiled now where it is not there or damaged.

    full: also for people who hesitate, break off, repeat or correct themselves, which takes much more memory.

    Errors: BadToolSchema for a pattern that cannot be read, StorageError, EngineFailed.
    """
    folder = root / key(tools, full=full)
    if not is_whole(folder):
        _compile_elsewhere(tools, folder, full)
        _forget_old(root)
    with contextlib.suppress(OSError):
        os.utime(folder)
    return folder


def key(tools: Toolset, *, full: bool = True) -> str:
    """A name that changes with what can be said to the tools, and with the code that compiles it."""
    said = [[tool.name, tool.sentences, list(tool.expansions.items()), tool.properties] for tool in tools.values()]
    text = json.dumps(said, default=repr)
    return hashlib.sha256(f"{_code()} {full}\n{text}".encode()).hexdigest()[:24]


@functools.cache
def _code() -> str:
    digest = hashlib.sha256(importlib.metadata.version("pocketsphinx").encode())
    for name in _PARTS:
        digest.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    return digest.hexdigest()


def is_whole(folder: Path) -> bool:
    """Whether the folder's files are byte for byte those that were compiled."""
    try:
        wanted: dict[str, str] = json.loads((folder / COMPLETE).read_text(encoding="ascii"))
        return wanted == _digests(folder)
    except (OSError, ValueError):
        return False


def _digests(folder: Path) -> dict[str, str]:
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES}


def _compile_elsewhere(tools: Toolset, folder: Path, full: bool) -> None:
    """Run the compiler on `tools`; `folder` appears only when all is written."""
    plain = [(tool.name, tool.parameters, tool.sentences, tool.expansions) for tool in tools.values()]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".part-") as scratch:
            done = subprocess.run(
                [sys.executable, "-m", __name__, scratch],
                input=pickle.dumps((plain, full)), capture_output=True, timeout=LONGEST_S, check=False,
            )  # fmt: skip
            if done.returncode:
                raise _error(done)
            shutil.rmtree(folder, ignore_errors=True)
            Path(scratch, "new").rename(folder)
    except OSError as error:
        raise StorageError(f"{folder.parent} cannot be written: {error}", fix=f"df -h {folder.parent}") from error
    except subprocess.TimeoutExpired as error:
        raise EngineFailed(f"the words of {len(tools)} tools were not compiled in {LONGEST_S:.0f} s") from error


def _error(done: subprocess.CompletedProcess[bytes]) -> VoiceNeedleError:
    """What the compiler said went wrong, as the error that it was."""
    try:
        told: Mapping[str, str] = json.loads(done.stdout)
        kind = getattr(errors, told["error"])
        if not issubclass(kind, VoiceNeedleError):
            raise TypeError(kind)
        error: VoiceNeedleError = kind(told["what"], fix=told["fix"] or None)
        return error
    except (ValueError, KeyError, AttributeError, TypeError):
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        return EngineFailed(f"the words of the tools were not compiled: {last or f'ended with {done.returncode}'}")


def _forget_old(root: Path) -> None:
    """Keep the last used folders: a plugin under development brings a new one with each change."""
    with contextlib.suppress(OSError):
        folders = sorted((each for each in root.iterdir() if each.is_dir()), key=lambda each: -each.stat().st_mtime)
        for folder in folders[KEPT:]:
            shutil.rmtree(folder, ignore_errors=True)


# --- in the process of its own ---


def write(tools: Toolset, folder: Path, full: bool) -> None:
    """Compile the tools into the (new) folder; on disk when it returns. Errors: BadToolSchema, EngineMissing."""
    from voice_needle.transcribe.grammar import FRAME, build_grammar
    from voice_needle.transcribe.language_model import arpa_text, draw_sentences
    from voice_needle.transcribe.network import SHARE_ABOVE, SHARE_ABOVE_SMALL, build_network
    from voice_needle.transcribe.pronounce import dictionary_text, fillers_text

    grammar = build_grammar(tools)
    folder.mkdir(parents=True)
    _put(folder / DICTIONARY, dictionary_text(grammar.words))
    _put(folder / FILLERS, fillers_text(hesitating=full))
    share_above = SHARE_ABOVE if full else SHARE_ABOVE_SMALL
    network = build_network(grammar.top, grammar.rules, FRAME, share_above=share_above, stumbling=full)
    _put(folder / GRAMMAR, network.fsg())
    _put(folder / REPLIES, build_network(grammar.reply, grammar.rules, FRAME).fsg())
    _put(folder / MODEL, arpa_text(draw_sentences(grammar), grammar.words))
    _put(folder / COMPLETE, json.dumps(_digests(folder)))


def _put(file: Path, text: str) -> None:
    with file.open("w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())


def main() -> int:
    """0, or 1 with one JSON object {"error", "what", "fix"} on standard output."""
    try:
        plain, full = pickle.load(sys.stdin.buffer)
        tools = [Tool(name, "", parameters, sentences, expansions) for name, parameters, sentences, expansions in plain]
        write(Toolset(tools), Path(sys.argv[1]) / "new", full)
    except ImportError as error:
        missing = EngineMissing(f"{error.name} is not installed", fix="pip install pocketsphinx")
        return _told(missing)
    except VoiceNeedleError as error:
        return _told(error)
    return 0


def _told(error: VoiceNeedleError) -> int:
    print(json.dumps({"error": type(error).__name__, "what": str(error), "fix": error.fix}))
    return 1


if __name__ == "__main__":
    sys.exit(main())
