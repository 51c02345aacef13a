#!/bin/sh
# One long recording through the whole pipeline, here and on emulated processors of the boards, compared word by word:
#   cores.sh [OUT]      OUT as for build.sh, whose slot is the arm64 system; CORES, PYTHON (this repository's)
# Needs root, qemu-user-static with binfmt_misc, flite, sox. Prints a table; exit code 0 when all say the same.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=$(cd "${1:-$here/../../out/image}" && pwd)
python=${PYTHON:-$here/../../.venv/bin/python}
cores=${CORES-cortex-a53 cortex-a72 cortex-a76}
work=$out/cores
rm -rf "$work"
mkdir -p "$work"
say() { echo "$(date +%T) $*" >&2; }

# Three voices; questions that need an answer, a correction, and speech that is none of our business. Timers are of hours: an emulated
# processor is slow enough for shorter ones to ring meanwhile.
number=10
while read -r voice sentence; do
    flite -voice "$voice" -t "$sentence" -o "$work/said.wav"
    sox -R "$work/said.wav" -r 16000 -c 1 "$work/part-$number.wav" pad 0.3 7
    number=$((number + 1))
done <<'SAID'
slt set a timer for ten hours
slt set a timer
slt five hours
rms cancel the ten hour timer
rms set a timer for two hours and fifteen minutes
awb set a timer for three hours no four hours
slt the committee will publish its findings next year
awb cancel all timers
SAID
sox "$work"/part-*.wav "$work/all.wav"
rm "$work"/part-*.wav "$work/said.wav"
mkdir "$work/code" # the image's own program, which may be older than what lies beside this script
cp "$here/cores.py" "$work"
cp -R "$out"/slot/opt/voice-needle/lib/python3*/site-packages/voice_needle "$work/code"

say "here: $(uname -m)"
PYTHONPATH=$work/code "$python" "$work/cores.py" "$work/all.wav" >"$work/here.jsonl" 2>"$work/here.log"
for core in $cores; do
    say "emulated $core"
    unshare --mount sh -euc '
        mount --bind "$1" "$1"
        mount -t proc proc "$1/proc"
        mount --rbind /dev "$1/dev"
        mount -t tmpfs tmpfs "$1/tmp"
        mkdir "$1/tmp/cores"
        mount --bind "$2" "$1/tmp/cores"
        export QEMU_CPU="$3"
        exec chroot "$1" /usr/bin/env -i QEMU_CPU="$3" HOME=/tmp PATH=/usr/bin:/bin LANG=C.UTF-8 \
            /opt/voice-needle/bin/python /tmp/cores/cores.py /tmp/cores/all.wav' \
        sh "$out/slot" "$work" "$core" >"$work/$core.jsonl" 2>"$work/$core.log" ||
        say "$core: $(tail -n 1 "$work/$core.log")"
done
say "compared"

"$python" - "$work" $cores <<'PY'
import json, sys
from itertools import zip_longest
from pathlib import Path

work, cores = Path(sys.argv[1]), sys.argv[2:]
heard = {name: [json.loads(line) for line in (work / f"{name}.jsonl").read_text().splitlines()] for name in ("here", *cores)}
print(f"| heard here | decided here | said here | {' | '.join(cores)} |\n|{' --- |' * (3 + len(cores))}")
wrong = 0
for ours, *theirs in zip_longest(*heard.values(), fillvalue={}):
    same = [each == ours for each in theirs]
    wrong += same.count(False)
    calls = "; ".join(f"{tool} {arguments}" for tool, arguments in ours.get("calls", []))
    print(f"| {ours.get('text')} | {ours.get('outcome')}: {calls} | {ours.get('said')} | {' | '.join('same' if each else 'DIFFERENT' for each in same)} |")
    for core, each in zip(cores, theirs):
        if each != ours:
            print(f"  {core}: {json.dumps(each)}\n  here: {json.dumps(ours)}")
print(f"{len(heard['here'])} turns, {len(cores)} cores, {wrong} differences")
sys.exit(bool(wrong) or not heard["here"])
PY
