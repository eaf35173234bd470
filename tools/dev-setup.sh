#!/bin/sh
# Make .venv: the pinned tools, the agent (editable), and a link that lets every Ansible tool find this checkout.
set -eu
cd "$(dirname "$0")/.."
stamp=.venv/.requirements
wanted=$(cat requirements-dev.txt agent/pyproject.toml tools/dev-setup.sh | cksum)
[ -e "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && exit 0
echo "dev-setup: preparing .venv (once, about a minute)"
"${PYTHON:-python3}" -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
.venv/bin/pip install --quiet --disable-pip-version-check --no-deps --editable agent
site=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
mkdir -p "$site/ansible_collections/v6ops"
ln -sfn "$PWD" "$site/ansible_collections/v6ops/transition"
echo "$wanted" > "$stamp"
