"""Piper in a process of its own: sentences in on standard input, sound out on standard output.

    python -m voice_needle.speak.piper_worker MODEL.onnx --threads 2 --length-scale 1.0

Once the model is loaded and warm it writes one line, {"rate_hz": 16000}. Then each line {"id": 7, "text": "..."} is answered
with chunks, an 8-byte header (id and length in bytes, little-endian) and int16 sound; a chunk of length 0 ends a sentence, of
length 0xFFFFFFFF reports that it failed. Piper is GPL-3.0: it is imported here and nowhere else.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import struct
import sys
from pathlib import Path
from typing import Any, BinaryIO

HEADER = struct.Struct("<II")
FAILED = 0xFFFFFFFF


def load(model: Path, threads: int) -> Any:
    """The voice on `threads` threads; Piper's own loader would take every core."""
    import onnxruntime
    from piper import PiperVoice
    from piper.config import PiperConfig

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    config = json.loads(Path(f"{model}.json").read_text(encoding="utf-8"))
    return PiperVoice(session=session, config=PiperConfig.from_dict(config))


def serve(voice: Any, settings: Any, lines: BinaryIO, out: BinaryIO) -> None:
    """Answer sentences until standard input is closed."""
    for line in lines:
        request = json.loads(line)
        number = int(request["id"])
        try:
            for chunk in voice.synthesize(request["text"], syn_config=settings):
                data = chunk.audio_int16_bytes
                out.write(HEADER.pack(number, len(data)) + data)
            out.write(HEADER.pack(number, 0))
        except Exception:
            logging.exception("piper failed on a sentence")
            out.write(HEADER.pack(number, FAILED))
        out.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description="Piper as a worker process")
    parser.add_argument("model", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--length-scale", type=float)
    parser.add_argument("--speaker", type=int)
    arguments = parser.parse_args()
    # Nothing that a library prints may get between the chunks.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    from piper.config import SynthesisConfig

    voice = load(arguments.model, arguments.threads)
    settings = SynthesisConfig(speaker_id=arguments.speaker, length_scale=arguments.length_scale)
    for _ in voice.synthesize("Ready.", syn_config=settings):
        pass  # the first inference is slow: it is not the user's
    out.write(json.dumps({"rate_hz": voice.config.sample_rate}).encode() + b"\n")
    out.flush()
    serve(voice, settings, sys.stdin.buffer, out)


if __name__ == "__main__":
    main()
