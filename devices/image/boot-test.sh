#!/bin/sh
# Boots the card image under emulation, without a network device, and lets the appliance be spoken to: boot-test.sh [OUT]
# Needs qemu-system-arm, flite, sox, mtools, e2fsprogs. Prints one line a check; exit code 0 when all passed.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=$(cd "${1:-$here/../../out/image}" && pwd)
card=$out/boot-test.img
limit=${LIMIT:-900}
work=$(mktemp -d)
trap 'rm -rf "$work" "$card"' EXIT
cp --sparse=always "$out/voice-needle.img" "$card"

start() { od -A n -t u4 -j $((438 + 16 * $1)) -N 4 "$card"; } # first sector, from the partition table
boot_at=$(($(start 1) * 512)) slot_at=$(($(start 2) * 512))

cat >"$work/voice-needle.yaml" <<'YAML'
hostname: boot-test
profile: pi4
plugins: [desk]
config: {transcribe: {engine: sphinx}, speak: {engine: espeak}}
YAML
mcopy -o -i "$card@@$boot_at" "$work/voice-needle.yaml" ::voice-needle.yaml
flite -voice slt -t "set a timer for ten minutes" -o "$work/said.wav"
sox "$work/said.wav" -r 16000 -c 1 "$work/timer.wav" pad 0.3 2.0
printf '%s\n' snd-aloop >"$work/aloop.conf"
printf '[Service]\nTimeoutStartSec=800\n' >"$work/emulated.conf" # emulation is twenty times slower than a board
{
    printf 'write %s /opt/timer.wav\nwrite %s /usr/lib/modules-load.d/aloop.conf\n' "$work/timer.wav" "$work/aloop.conf"
    printf 'write %s /opt/boot-test\nset_inode_field /opt/boot-test mode 0100755\n' "$here/boot-test-inside.sh"
    printf 'write %s /usr/lib/systemd/system/boot-test.service\n' "$here/boot-test.service"
    printf 'symlink /usr/lib/systemd/system/multi-user.target.wants/boot-test.service ../boot-test.service\n'
    printf 'mkdir /usr/lib/systemd/system/voice-needle.service.d\n'
    printf 'write %s /usr/lib/systemd/system/voice-needle.service.d/emulated.conf\n' "$work/emulated.conf"
} >"$work/commands"
debugfs -w -f "$work/commands" "$card?offset=$slot_at" >"$work/debugfs.log" 2>&1

started=$(date +%s)
timeout "$limit" qemu-system-aarch64 -M virt -cpu "${QEMU_CPU:-cortex-a72}" -smp 2 -m 1024 -nic none -nographic -no-reboot \
    -kernel "$out/boot/a/vmlinuz" -initrd "$out/boot/a/initrd.img" \
    -append "root=/dev/vda2 ro rootwait console=ttyAMA0 quiet net.ifnames=0 vn.slot=a" \
    -drive file="$card",format=raw,if=virtio,cache=unsafe </dev/null >"$out/boot-test.log" 2>&1 || true
grep -ao 'BOOT-TEST.*' "$out/boot-test.log" | tr -d '\r' || true
echo "boot-test took $(($(date +%s) - started)) s; its console is in $out/boot-test.log"
grep -aq 'BOOT-TEST done' "$out/boot-test.log" && ! grep -aq 'BOOT-TEST FAIL' "$out/boot-test.log"
