#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# tools/node-image.sh [SUITE]: build localhost/v6ops-node:SUITE, a Debian with systemd for molecule's nodes,
# from Debian's archive alone. Does nothing if the image of this recipe is there.
set -eu
suite=${1:-bookworm}
image=localhost/v6ops-node:$suite
recipe=$(sha256sum "$0" | cut -c1-12)
[ "$(podman image inspect --format '{{.Comment}}' "$image" 2>/dev/null || true)" = "$recipe" ] && exit 0
echo "node-image: building $image (once, half a minute)"
packages=systemd,systemd-sysv,dbus,python3,python3-apt,python3-dnspython,python3-packaging,python3-venv,iproute2,iputils-ping,procps,nftables,tcpdump
packages=$packages,ca-certificates,sudo,bind9,bind9-dnsutils,iperf3
units="systemd-udevd.service systemd-modules-load.service systemd-resolved.service"
units="$units systemd-networkd.service getty.target apt-daily.timer apt-daily-upgrade.timer"
# The hook's $1 is mmdebstrap's.
# shellcheck disable=SC2016
mmdebstrap --quiet --variant=minbase --include="$packages" \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --customize-hook="chroot \"\$1\" systemctl --quiet mask $units" \
    --customize-hook='chroot "$1" systemctl --quiet disable named.service' \
    --customize-hook='rm -rf "$1"/var/lib/apt/lists/*' \
    "$suite" - | podman import --quiet --message "$recipe" - "$image" >/dev/null
