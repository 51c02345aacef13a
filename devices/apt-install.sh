#!/bin/sh
# Installs the Debian packages named after the first argument that are not there yet; the first is "sudo" or empty.
set -eu
sudo=$1
shift
missing=
for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q "install ok installed" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null; then
    echo "This system has no apt-get. Install by hand:$missing" >&2
    exit 2
fi
echo "Installing from Debian:$missing"
$sudo apt-get update -qq
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
