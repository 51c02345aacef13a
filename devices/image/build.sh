#!/bin/sh
# Builds the flashable card image for Raspberry Pi 3, 4, Zero 2 W and the same root file system for qemu -M virt:
#   build.sh [OUT]      default out/image; OUT/root is Debian's part and is reused while it is there
# Needs (Debian): mmdebstrap qemu-user-static binfmt-support e2fsprogs genimage mtools dosfstools zstd; and uv, python3.11.
# Partitions: 1 boot (FAT), 2 slot a, 3 slot b (both read-only roots), 4 data. A slot is updated while the other one runs.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../.." && pwd)
out=${1:-$repository/out/image}
uv=${UV:-uv}
python=${PYTHON:-python3}
started=$(date +%s)
mkdir -p "$out"
out=$(cd "$out" && pwd)
say() { printf '%4d s  %s\n' $(($(date +%s) - started)) "$*"; }

if [ ! -e "$out/root/usr/lib/os-release" ]; then
    say "Debian's root file system (about six minutes, once)"
    "$here/root.sh" "$out/root" >"$out/root.log" 2>&1
fi

say "our part"
rm -rf "$out/slot" "$out/boot" "$out/data" "$out/dist" "$out/tmp"
mkdir -p "$out/slot" "$out/boot/a" "$out/boot/b" "$out/data/etc/up" "$out/data/etc/work" "$out/data/var/up" "$out/data/var/work" "$out/data/update"
cp -a "$out/root/." "$out/slot"
slot=$out/slot
(cd "$repository" && "$uv" build -q --wheel -o "$out/dist" .)
app=$slot/opt/voice-needle
site=$app/lib/python3.11/site-packages
mkdir -p "$app/bin" "$site"
"$uv" pip install -q --python-platform aarch64-manylinux_2_36 --python-version 3.11 --only-binary :all: \
    --link-mode copy --target "$site" "$out"/dist/*.whl
printf 'home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.11\n' >"$app/pyvenv.cfg"
ln -s /usr/bin/python3 "$app/bin/python"
printf '#!/bin/sh\nexec /opt/voice-needle/bin/python -m voice_needle "$@"\n' >"$app/bin/voice-needle"
install -m 755 "$here/slots" "$app/bin/slots"
chmod 755 "$app/bin/voice-needle"
ln -sf /opt/voice-needle/bin/voice-needle "$slot/usr/bin/voice-needle"
# The root is read-only: without bytecode every start would compile everything again.
"$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' &&
    "$python" -m compileall -q -j 1 --invalidation-mode unchecked-hash "$site" >/dev/null || say "no Python 3.11 here: no bytecode"

units=$slot/usr/lib/systemd/system
install -m 644 "$repository"/systemd/*.service "$repository"/systemd/*.timer "$repository"/systemd/*.target "$here"/units/* "$units"
install -m 644 "$repository/systemd/voice-needle.sysusers" "$slot/usr/lib/sysusers.d/voice-needle.conf"
install -m 644 "$repository/systemd/voice-needle.tmpfiles" "$slot/usr/lib/tmpfiles.d/voice-needle.conf"
systemd-sysusers --root="$slot"
systemctl --root="$slot" -q enable voice-needle.target voice-needle.service voice-needle-setup.service \
    voice-needle-update.timer voice-needle-confirm.service
systemctl --root="$slot" -q disable ssh.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer 2>/dev/null || true
systemctl --root="$slot" -q mask systemd-firstboot.service apt-daily.service
mkdir -p "$slot/etc/voice-needle/tools.d" "$slot/etc/voice-needle/devices.d" "$slot/data" "$slot/boot/firmware"
echo voice-needle >"$slot/etc/hostname"
install -m 644 "$here/fstab" "$slot/etc/fstab"
[ -z "${UPDATE_KEY:-}" ] || install -m 644 "$UPDATE_KEY" "$slot/etc/voice-needle/update.signers"

say "boot partition"
kernel=$(basename "$slot"/boot/vmlinuz-*)
version=${kernel#vmlinuz-}
cp "$slot"/boot/firmware/*.elf "$slot"/boot/firmware/*.dat "$slot"/boot/firmware/bootcode.bin "$out/boot"
cp "$slot/boot/$kernel" "$out/boot/a/vmlinuz"
cp "$slot/boot/initrd.img-$version" "$out/boot/a/initrd.img"
cp "$slot"/boot/firmware/*.dtb "$out/boot/a"
printf 'console=tty0 console=ttyS1,115200 root=/dev/mmcblk0p2 ro rootwait quiet net.ifnames=0 cma=64M vn.slot=a\n' >"$out/boot/a/cmdline.txt"
install -m 644 "$here/config.txt" "$out/boot/config.txt"
install -m 644 "$here/voice-needle.yaml" "$out/boot/voice-needle.yaml"
rm -rf "$slot"/boot/firmware/* "$slot"/boot/vmlinuz-* "$slot"/boot/initrd.img-*
find "$slot/var/cache" "$slot/var/lib/apt/lists" "$slot/var/log" -type f -delete

say "file systems"
rm -f "$out"/*.ext4 "$out"/*.img
mke2fs -q -t ext4 -L vn-a -O ^metadata_csum_seed -E root_owner=0:0 -d "$slot" "$out/slot.ext4" "${SLOT_SIZE:-1400M}"
mke2fs -q -t ext4 -L vn-data -d "$out/data" "$out/data.ext4" "${DATA_SIZE:-512M}"
mkdir -p "$out/tmp"
genimage --config "$here/genimage.cfg" --rootpath "$out/boot" --inputpath "$out" --outputpath "$out" --tmppath "$out/tmp" >"$out/genimage.log" 2>&1
rm -rf "$out/tmp"
say "done: $out/voice-needle.img, $(du -h --apparent-size "$out/voice-needle.img" | cut -f1) on the card, $(du -h "$out/voice-needle.img" | cut -f1) of it written; root $(du -sh "$slot" | cut -f1)"
