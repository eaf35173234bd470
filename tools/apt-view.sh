#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# apt-view.sh SUITE DIRECTORY: make a view of Debian's archive that has one suite and nothing else, in DIRECTORY.
#
# With APT_CONFIG=DIRECTORY/apt.conf, apt-get and apt-cache know the packages of that suite and leave this machine's
# own lists alone. The mirror is the one that this machine has its Debian packages from. Needs no root.
set -eu

suite=${1:?usage: apt-view.sh SUITE DIRECTORY}
mkdir -p "${2:?usage: apt-view.sh SUITE DIRECTORY}"
view=$(cd "$2" && pwd)
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

fail() {
    echo "apt-view: $*" >&2
    exit 1
}

command -v apt-get >/dev/null || fail "apt-get is not installed: this needs Debian, or a system made of it"
[ -r "$keyring" ] || fail "$keyring is not there: install debian-archive-keyring"

# shellcheck disable=SC2016  # apt puts the values in
mirror=$(apt-get indextargets --format '$(LABEL)|$(REPO_URI)' 'Identifier: Packages' | sed -n 's/^Debian|//p' | head -n 1)
[ -n "$mirror" ] || fail "apt has no lists of Debian's archive: run apt-get update as root, then start again"

mkdir -p "$view/lists/partial" "$view/cache/archives/partial"
echo "deb [arch=amd64 signed-by=$keyring] $mirror $suite main" >"$view/sources.list"
# apt's own download user may not enter the checkout; as the caller it does the same.
cat >"$view/apt.conf" <<END
Dir::Etc::SourceList "$view/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::State::Lists "$view/lists";
Dir::State::Status "/dev/null";
Dir::Cache "$view/cache";
APT::Architecture "amd64";
APT::Sandbox::User "$(id -un)";
Acquire::Languages "none";
END
APT_CONFIG=$view/apt.conf apt-get --quiet --quiet --error-on=any update 2>"$view/refusal" ||
    fail "$mirror does not offer $suite: $(grep -m 1 '^E:' "$view/refusal" || tail -n 1 "$view/refusal")"
