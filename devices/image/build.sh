#!/bin/sh
# Builds the flashable card image for Raspberry Pi 3, 4, 400, 5 and Zero 2 W; the same card boots under qemu -M virt:
#   build.sh [OUT]      default out/image; OUT/root is Debian's part and is reused while it is there
# Needs (Debian): mmdebstrap arch-test qemu-user-static binfmt-support e2fsprogs genimage mtools dosfstools zstd device-tree-compiler
# u-boot-tools; and uv, python3.11.
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

# Without systemd (in a container) nobody has told the kernel who runs arm64 programs.
binfmt=/proc/sys/fs/binfmt_misc
[ -e $binfmt/status ] || mount -t binfmt_misc binfmt_misc $binfmt
[ -e $binfmt/qemu-aarch64 ] || update-binfmts --enable qemu-aarch64

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
install -m 755 "$here/slots" "$here/grow" "$app/bin"
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
put() { install -D -m 644 "$here/files/$1" "$slot/$2"; }
put networkd.conf usr/lib/systemd/network/80-voice-needle.network
put sshd.conf etc/ssh/sshd_config.d/voice-needle.conf
put ssh.service.conf usr/lib/systemd/system/ssh.service.d/voice-needle.conf
put wpa_supplicant.conf usr/lib/systemd/system/wpa_supplicant@.service.d/voice-needle.conf
put emergency.conf usr/lib/systemd/system/emergency.service.d/voice-needle.conf
put system.conf usr/lib/systemd/system.conf.d/voice-needle.conf
mkdir -p "$slot/etc/systemd/system/sys-subsystem-net-devices-wlan0.device.wants"
ln -sf /lib/systemd/system/wpa_supplicant@.service \
    "$slot/etc/systemd/system/sys-subsystem-net-devices-wlan0.device.wants/wpa_supplicant@wlan0.service"
ln -sf ../run/systemd/resolve/stub-resolv.conf "$slot/etc/resolv.conf"
systemctl --root="$slot" -q enable voice-needle.target voice-needle.service voice-needle-setup.service voice-needle-update.timer \
    voice-needle-confirm.service voice-needle-grow.service systemd-networkd.service systemd-resolved.service ssh.service
systemctl --root="$slot" -q disable wpa_supplicant.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
    2>/dev/null || true
systemctl --root="$slot" -q mask systemd-firstboot.service apt-daily.service systemd-networkd-wait-online.service
mkdir -p "$slot/etc/voice-needle/tools.d" "$slot/etc/voice-needle/devices.d" "$slot/data" "$slot/boot/firmware"
echo voice-needle >"$slot/etc/hostname"
install -m 644 "$here/fstab" "$slot/etc/fstab"
[ -z "${UPDATE_KEY:-}" ] || install -m 644 "$UPDATE_KEY" "$slot/etc/voice-needle/update.signers"

say "boot partition"
modules=$(echo "$slot"/usr/lib/modules/*)
version=${modules##*/}
cp "$slot"/usr/lib/raspi-firmware/* "$slot/usr/lib/u-boot/rpi_arm64/u-boot.bin" "$out/boot"
trees=$modules/dtb/broadcom
for each in bcm2837-rpi-3-a-plus bcm2837-rpi-3-b bcm2837-rpi-3-b-plus bcm2837-rpi-zero-2-w \
    bcm2711-rpi-4-b bcm2711-rpi-400 bcm2711-rpi-cm4-io bcm2712-rpi-5-b; do
    cp "$trees/$each.dtb" "$out/boot"
done
cp "$trees/bcm2712-d-rpi-5-b.dtb" "$out/boot/bcm2712d0-rpi-5-b.dtb" # as the firmware calls the chip's second version
mkdir -p "$out/boot/overlays"
for each in "$here"/overlays/*.dts; do
    overlay=$out/boot/overlays/$(basename "$each" .dts).dtbo
    (cd "$here/overlays" && dtc -@ -q -I dts -O dtb -o "$overlay" "$each")
    for tree in "$out"/boot/bcm2837*.dtb "$out"/boot/bcm2711*.dtb; do fdtoverlay -i "$tree" -o /dev/null "$overlay"; done
done
cp -L "$slot/boot/vmlinuz-$version" "$out/boot/a/vmlinuz"
cp "$slot/boot/initrd.img-$version" "$out/boot/a/initrd.img"
signature=$(od -A n -t x4 -N 4 /dev/urandom | tr -d ' ')
# panic: whatever does not start is reset, and U-Boot chooses again. (Which consoles there are, boot.cmd adds.)
printf 'bootargs=root=PARTUUID=%s-02 ro rootwait quiet panic=10 net.ifnames=0 cma=64M vn.slot=a\n' \
    "$signature" >"$out/boot/a/cmdline.txt"
mkimage -A arm64 -T script -C none -n 'slots' -d "$here/boot.cmd" "$out/boot/boot.scr" >/dev/null
echo slot=a >"$out/boot/slot.env"
install -m 644 "$here/config.txt" "$here/voice-needle.yaml" "$out/boot"
rm -rf "$slot"/boot/firmware/* "$slot"/boot/vmlinuz-* "$slot"/boot/initrd.img-* "$slot"/boot/config-* \
    "$slot"/usr/lib/raspi-firmware "$slot"/usr/lib/u-boot "$modules/vmlinuz" "$modules/dtb"
find "$slot/var/cache" "$slot/var/lib/apt/lists" "$slot/var/log" -type f -delete

say "file systems"
rm -f "$out"/*.ext4 "$out"/*.img
# No larger than it must be: this is what an update carries and a card takes minutes to write. The root is read-only anyway.
mke2fs -q -t ext4 -L vn-a -m 0 -O ^metadata_csum_seed,^has_journal -E root_owner=0:0 -d "$slot" "$out/slot.ext4" \
    "$(($(du -sm --apparent-size "$slot" | cut -f1) * 108 / 100 + 40))M"
mke2fs -q -t ext4 -L vn-data -d "$out/data" "$out/data.ext4" "${DATA_SIZE:-512M}"
mkdir -p "$out/tmp"
sed "s/@SIGNATURE@/0x$signature/" "$here/genimage.cfg" >"$out/tmp/genimage.cfg"
genimage --config "$out/tmp/genimage.cfg" --rootpath "$out/boot" --inputpath "$out" --outputpath "$out" --tmppath "$out/tmp/work" >"$out/genimage.log" 2>&1
rm -rf "$out/tmp"
say "done: $out/voice-needle.img, $(du -h --apparent-size "$out/voice-needle.img" | cut -f1) on the card, $(du -h "$out/voice-needle.img" | cut -f1) of it written; root $(du -sh "$slot" | cut -f1)"
