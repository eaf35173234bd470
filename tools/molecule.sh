#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# tools/molecule.sh [SCENARIO...]: molecule test, of all scenarios by default, and how long each took.
# Needs root, podman and .venv; brings the rest. On a laptop plain `molecule test` does the same.
set -eu
cd "$(dirname "$0")/.."
.venv/bin/python tools/fetch_collections.py
.venv/bin/python tools/build_bundle.py roles/agent/files/v6ferry.pyz
# Without CAP_SYS_RESOURCE (bit 24) podman may not raise limits, and a pid 1 that is no systemd has no
# cgroup manager.
capabilities=0x$(sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status)
if [ "$((capabilities >> 24 & 1))" -eq 0 ] || [ ! -d /run/systemd/system ]; then
    export CONTAINERS_CONF="$PWD/tools/podman/containers.conf"
fi
tools/node-image.sh
[ $# -gt 0 ] || set -- default isatap portproxy teredo tunnels
for scenario; do
    began=$(date +%s)
    PATH=$PWD/.venv/bin:$PATH .venv/bin/molecule test --scenario-name "$scenario"
    seconds=$(($(date +%s) - began))
    echo "molecule: scenario $scenario took $seconds s"
done
