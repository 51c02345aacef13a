#!/bin/sh
# Makes the Debian arm64 root file system of the appliance, without anything of ours in it: root.sh FOLDER
# Needs mmdebstrap and qemu-user-static with binfmt_misc. About six minutes under emulation; kept and reused by build.sh.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$1
suite=${SUITE:-bookworm}
export QEMU_CPU=${QEMU_CPU:-cortex-a72} # "max" raises false floating-point warnings
packages=$(grep -v '^#' "$here/packages.txt" | paste -sd, -)

# A short list of modules: with MODULES=most update-initramfs takes over seven minutes under emulation.
cat >"$root.hook" <<'HOOK'
#!/bin/sh
set -eu
mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/etc/default"
echo 'MODULES=list' >"$1/etc/initramfs-tools/conf.d/appliance"
printf '%s\n' virtio_pci virtio_mmio virtio_blk ext4 mmc_block sdhci_iproc bcm2835 vfat nls_cp437 nls_ascii >"$1/etc/initramfs-tools/modules"
HOOK
chmod +x "$root.hook"

mmdebstrap --mode=root --architectures=arm64 --variant=minbase --format=directory \
    --components=main,non-free-firmware --include="$packages" \
    --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Retries "5"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --essential-hook="$root.hook" \
    --customize-hook='rm -f "$1"/etc/ssh/ssh_host_* "$1"/etc/machine-id "$1"/etc/hostname; : >"$1"/etc/machine-id' \
    "$suite" "$root" "deb http://deb.debian.org/debian $suite main non-free-firmware"
rm -f "$root.hook"
# What the build machine's apt was told is of no use on a device.
printf 'deb http://deb.debian.org/debian %s main non-free-firmware\ndeb http://security.debian.org/debian-security %s-security main non-free-firmware\n' \
    "$suite" "$suite" >"$root/etc/apt/sources.list"
touch "$root/etc/.updated" "$root/var/.updated" # saves a minute of the first boot
