#!/bin/sh
# Installs the appliance on an existing Raspberry Pi OS or Debian, as root: install.sh, or install.sh --remove.
# The program goes to /opt/voice-needle; configuration (/etc/voice-needle) and data (/var/lib/voice-needle) are never touched.
# ROOT=FOLDER installs into another root, without starting anything. EXTRAS=whisper,warehouse adds optional parts.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
root=${ROOT:-}
app=$root/opt/voice-needle
units=$root/etc/systemd/system
[ "$(id -u)" = 0 ] || { echo "This needs root: sudo sh devices/install.sh" >&2; exit 2; }
live() { if [ -z "$root" ]; then "$@"; fi; }

if [ "${1:-}" = --remove ]; then
    live systemctl disable --now voice-needle.target voice-needle.service voice-needle-setup.service 2>/dev/null || true
    rm -rf "$app" "$root/usr/local/bin/voice-needle" "$root/usr/lib/sysusers.d/voice-needle.conf" "$root/usr/lib/tmpfiles.d/voice-needle.conf"
    for unit in "$here"/systemd/*.service "$here"/systemd/*.target "$here"/systemd/*.timer; do rm -f "$units/$(basename "$unit")"; done
    live systemctl daemon-reload
    echo "Removed. Your configuration and data stay in /etc/voice-needle and /var/lib/voice-needle."
    exit 0
fi

live sh "$here/devices/apt-install.sh" "" python3-venv libportaudio2 espeak-ng libspeexdsp1 alsa-utils
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: Raspberry Pi OS bookworm or later" >&2; exit 2; }
[ -x "$app/bin/python" ] || python3 -m venv "$app"
extras=${EXTRAS:+[$EXTRAS]}
"$app/bin/python" -m pip install -q --disable-pip-version-check --upgrade "$here$extras"
mkdir -p "$units" "$root/usr/local/bin" "$root/usr/lib/sysusers.d" "$root/usr/lib/tmpfiles.d"
# No system slots here, so nothing to update or to confirm.
install -m 644 "$here"/systemd/voice-needle.service "$here"/systemd/voice-needle-setup.service \
    "$here"/systemd/voice-needle-hostname.service "$here"/systemd/voice-needle.target "$units"
install -m 644 "$here/systemd/voice-needle.sysusers" "$root/usr/lib/sysusers.d/voice-needle.conf"
install -m 644 "$here/systemd/voice-needle.tmpfiles" "$root/usr/lib/tmpfiles.d/voice-needle.conf"
ln -sf /opt/voice-needle/bin/voice-needle "$root/usr/local/bin/voice-needle"
systemd-sysusers ${root:+--root="$root"}
live systemd-tmpfiles --create voice-needle.conf
systemctl ${root:+--root="$root"} -q enable voice-needle.target voice-needle.service voice-needle-setup.service
live systemctl daemon-reload
live systemctl restart voice-needle.target
echo "Installed. Listen to its journal: journalctl -fu voice-needle; examine it: voice-needle doctor"
