#!/bin/sh
# Boots the card image under emulation, without a network device, lets the appliance be spoken to, updates it, and breaks an update:
#   boot-test.sh [OUT]
# Needs qemu-system-arm, u-boot-qemu, openssh-client, flite, sox, mtools, e2fsprogs, zstd. A line a check; exit code 0 when all passed.
# The boot loader is U-Boot with the card's own script, as on a board; only the firmware before it and the device tree are qemu's.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=$(cd "${1:-$here/../../out/image}" && pwd)
card=$out/boot-test.img
limit=${LIMIT:-2400} # seconds; QUICK=1 asks only for the slots
work=$out/boot-test
rm -rf "$work"
mkdir -p "$work/stick/updates"
trap 'rm -rf "$work" "$card"' EXIT
say() { echo "boot-test: $*"; }
started=$(date +%s)

cat >"$work/voice-needle.yaml" <<YAML
hostname: boot-test
profile: pi4
time_zone: Europe/Zurich
plugins: [desk]
ssh_key: $(ssh-keygen -q -t ed25519 -N '' -C owner -f "$work/owner" && cat "$work/owner.pub")
wifi: {ssid: Café 5, password: correct horse, country: CH}
config: {transcribe: {engine: sphinx}, speak: {engine: espeak}}
YAML
flite -voice slt -t "set a timer for ten minutes" -o "$work/said.wav"
sox "$work/said.wav" -r 16000 -c 1 "$work/timer.wav" pad 0.3 2.0
printf '%s\n' snd-aloop >"$work/aloop.conf"
printf '[Service]\nTimeoutStartSec=1800\n' >"$work/emulated.conf" # emulation is twenty times slower than a board, and shared
printf '[Service]\nTimeoutStartSec=infinity\n' >"$work/patient.conf"
printf '[Service]\nExecStart=\nExecStart=/opt/voice-needle/bin/slots confirm 10 2400\n' >"$work/confirm.conf"
ssh-keygen -q -t ed25519 -N '' -C updates -f "$work/signer"
printf 'update %s\n' "$(cat "$work/signer.pub")" >"$work/signers"

inject() { # inject SLOT.ext4 RELEASE: the test itself, a microphone, and patience
    echo "$2" >"$work/release"
    {
        printf 'mkdir /opt/boot-test\n'
        [ -z "${QUICK:-}" ] || printf 'write /dev/null /opt/boot-test/quick\n'
        for file in release timer.wav owner; do printf 'write %s /opt/boot-test/%s\n' "$work/$file" "$file"; done
        printf 'write %s /opt/boot-test/inside\nset_inode_field /opt/boot-test/owner mode 0100600\n' "$here/boot-test-inside.sh"
        printf 'write %s /usr/lib/modules-load.d/aloop.conf\nwrite %s /etc/voice-needle/update.signers\n' "$work/aloop.conf" "$work/signers"
        printf 'write %s /usr/lib/systemd/system/boot-test.service\n' "$here/boot-test.service"
        printf 'symlink /usr/lib/systemd/system/multi-user.target.wants/boot-test.service ../boot-test.service\n'
        for each in "voice-needle emulated" "voice-needle-update patient" "voice-needle-confirm confirm"; do
            unit=/usr/lib/systemd/system/${each% *}.service.d
            printf 'mkdir %s\nwrite %s %s/test.conf\n' "$unit" "$work/${each#* }.conf" "$unit"
        done
    } >"$work/commands"
    debugfs -w -f "$work/commands" "$1" >"$work/debugfs.log" 2>&1
}

say "updates: a good one, one that does not start, a damaged one, one from a stranger"
cp --sparse=always "$out/slot.ext4" "$work/slot.ext4"
inject "$work/slot.ext4" 2
"$here/slots" pack "$work/signer" "$work/slot.ext4" "$out/boot/a" "$work/stick/updates/good.vnu"
mke2fs -q -t ext4 "$work/empty.ext4" 8M
"$here/slots" pack "$work/signer" "$work/empty.ext4" "$out/boot/a" "$work/stick/updates/empty.vnu"
cp "$work/stick/updates/empty.vnu" "$work/stick/updates/damaged.vnu"
printf x | dd of="$work/stick/updates/damaged.vnu" bs=1 seek=1000000 conv=notrunc status=none # inside the kernel
ssh-keygen -q -t ed25519 -N '' -C stranger -f "$work/stranger"
"$here/slots" pack "$work/stranger" "$work/empty.ext4" "$out/boot/a" "$work/stick/updates/stranger.vnu"
mke2fs -q -t ext4 -L vn-stick -d "$work/stick" "$work/stick.img" "$(($(du -sm "$work/stick" | cut -f1) + 40))M"
rm -rf "$work/stick" "$work/empty.ext4"

cp --sparse=always "$out/voice-needle.img" "$card"
at() { echo $(($(od -A n -t u4 -j $((438 + 16 * $1)) -N 4 "$card") * 512)); } # first byte, from the partition table
cp --sparse=always "$out/slot.ext4" "$work/slot.ext4"
inject "$work/slot.ext4" 1
dd if="$work/slot.ext4" of="$card" bs=1M seek="$(($(at 2) / 1048576))" conv=notrunc,sparse status=none
mcopy -o -i "$card@@$(at 1)" "$work/voice-needle.yaml" ::voice-needle.yaml
truncate -s +300M "$card" # a card larger than the image
rm "$work/slot.ext4"
say "the card and the stick are ready after $(($(date +%s) - started)) s"

started=$(date +%s)
timeout "$limit" qemu-system-aarch64 -M virt -cpu "${QEMU_CPU:-cortex-a72}" -smp 2 -m 1024 -nic none -nographic \
    -bios /usr/lib/u-boot/qemu_arm64/u-boot.bin \
    -drive file="$card",format=raw,if=virtio,cache=unsafe -drive file="$work/stick.img",format=raw,if=virtio,readonly=on \
    </dev/null >"$out/boot-test.log" 2>&1 || true
grep -aoE 'BOOT-TEST.*|^vn: .*' "$out/boot-test.log" | tr -d '\r' || true
say "$(($(date +%s) - started)) s of emulation; the console is in $out/boot-test.log"
grep -aq 'BOOT-TEST done' "$out/boot-test.log" && ! grep -aq 'BOOT-TEST FAIL' "$out/boot-test.log"
