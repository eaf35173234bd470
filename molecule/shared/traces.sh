#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Print what an installation could leave behind, for a comparison of before and after.
set -eu
echo "# files"
find /etc /usr/local /opt /srv /root /home /usr/lib/systemd /var/lib /run/systemd/system /run -xdev \
    \( -path '/run/systemd/*' -o -path /run/log -o -path '/run/user*' -o -path '/var/lib/systemd/*' -o -path '/var/lib/apt/*' \
    -o -path /root/.ansible -o -path /root/.ansible_async -o -path '/run/udev*' \) -prune -o -print | sort -u
ls /etc/systemd/system/*.wants
echo "# name resolution"
cat /etc/resolv.conf
echo "# users and groups"
getent passwd | sort
getent group | sort
echo "# units"
systemctl list-units --all --no-legend --plain --type=service,socket,path | awk '{print $1, $2}' |
    grep -v '^systemd-\|^user' | sort
echo "# interfaces, addresses, routes"
ip -o link | sed 's/^[0-9]*: //; s/ qlen.*//' | sort
ip -o address | awk '{print $2, $3, $4}' | sort
ip -6 route | sed 's/ expires [0-9]*sec//' | sort
ip -4 route | sort
ip rule
echo "# kernel parameters"
sysctl -a 2>/dev/null | grep '^net\.ipv[46]\.' | grep -v 'nf_\|neigh\|mem\|secret\|/' | sort
echo "# packet filter"
nft list ruleset
