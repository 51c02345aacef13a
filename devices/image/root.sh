#!/bin/sh
# Makes the Debian arm64 root file system of the appliance, without anything of ours in it: root.sh FOLDER
# Needs mmdebstrap and qemu-user-static with binfmt_misc. About ten minutes under emulation; kept and reused by build.sh.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$1
suite=bookworm
kernel_suite=trixie-backports # the Raspberry Pi 5 needs drivers (RP1) that bookworm's kernel, boot loader and radio files do not have
export QEMU_CPU=${QEMU_CPU:-cortex-a72} # "max" raises false floating-point warnings
packages=$(grep -v '^#' "$here/packages.txt" | paste -sd, -)

cat >"$root.preferences" <<'PIN'
Package: *
Pin: release n=trixie*
Pin-Priority: -1

Package: u-boot-rpi firmware-brcm80211
Pin: release n=trixie
Pin-Priority: 900

Package: linux-image-arm64 linux-image-*-arm64 linux-base linux-base-* linux-binary-* linux-modules-*
Pin: release n=trixie-backports
Pin-Priority: 900
PIN
# A short list of modules: with MODULES=most update-initramfs takes over seven minutes under emulation. A card's driver waits for
# its regulators, clocks and pins, and nothing links it to them: each is named. Pi 5, then Pi 3, 4 and Zero 2 W, then the emulator.
cat >"$root.hook" <<'HOOK'
#!/bin/sh
set -eu
mkdir -p "$1/etc/initramfs-tools/conf.d"
echo 'MODULES=list' >"$1/etc/initramfs-tools/conf.d/appliance"
printf '%s\n' ext4 mmc_block fixed gpio_regulator vfat nls_cp437 nls_ascii \
    sdhci_brcmstb gpio_brcmstb pinctrl_brcmstb_bcm2712 irq_bcm2712_mip \
    sdhci_iproc bcm2835 virtio_pci virtio_mmio virtio_blk >"$1/etc/initramfs-tools/modules"
# The newer kernel's own hooks (path-exclude below) need a newer run-parts than bookworm's; this does the same.
mkdir -p "$1/etc/kernel/postinst.d"
printf '#!/bin/sh\nfor each in vmlinuz config; do cp -l "/usr/lib/modules/$1/$each" "/boot/$each-$1"; done\n' \
    >"$1/etc/kernel/postinst.d/00-boot"
chmod +x "$1/etc/kernel/postinst.d/00-boot"
HOOK
chmod +x "$root.hook"

mmdebstrap --mode=root --architectures=arm64 --variant=minbase --format=directory \
    --components=main,non-free-firmware --include="$packages" \
    --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Retries "5"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/lib/modules/*/dtb/*' --dpkgopt='path-include=/usr/lib/modules/*/dtb/broadcom/*' \
    --dpkgopt='path-exclude=/usr/share/kernel/*' \
    --setup-hook="install -D -m 644 '$root.preferences' \"\$1/etc/apt/preferences.d/kernel\"" \
    --essential-hook="$root.hook" \
    --customize-hook='rm -f "$1"/vmlinuz* "$1"/initrd.img* "$1"/etc/ssh/ssh_host_* "$1"/etc/machine-id "$1"/etc/hostname; : >"$1"/etc/machine-id' \
    "$suite" "$root" \
    "deb http://deb.debian.org/debian $suite main non-free-firmware" \
    "deb http://deb.debian.org/debian trixie main non-free-firmware" \
    "deb http://deb.debian.org/debian $kernel_suite main"
rm -f "$root.hook" "$root.preferences"
# What the build machine's apt was told is of no use on a device.
for each in "debian $suite main" "debian-security $suite-security main" "debian $kernel_suite main"; do
    printf 'deb http://%s.debian.org/%s\n' "$(case $each in *-security*) echo security ;; *) echo deb ;; esac)" "$each non-free-firmware"
done >"$root/etc/apt/sources.list"
touch "$root/etc/.updated" "$root/var/.updated" # saves a minute of the first boot
