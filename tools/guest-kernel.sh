#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# guest-kernel.sh SUITE BUSYBOX DIRECTORY: make vmlinuz and modules.cpio in DIRECTORY, the kernel for machines of the
# cloud that a suite of Debian's archive offers, and those of its modules that a guest needs.
#
# BUSYBOX is a static one. DIRECTORY/packages says which packages they came from; DIRECTORY must not be there yet.
set -eu
cd "$(dirname "$0")/.."

suite=$1 busybox=$2 directory=$3
modules="virtio_pci virtio_net virtio_console sit cls_bpf sch_ingress veth tun 8021q bonding"

fail() {
    echo "guest-kernel: $suite: $*" >&2
    exit 1
}

work=$(mktemp -d "$(dirname "$directory")/making.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/packages" "$work/system" "$work/root" "$work/result"
tools/apt-view.sh "$suite" "$work/apt"
export APT_CONFIG="$PWD/$work/apt/apt.conf"

# The metapackage depends on the kernel of the day, which newer suites cut into several packages.
packages=$(apt-cache depends --recurse --important linux-image-cloud-amd64 |
    sed -n 's/^\(linux-\(image\|binary\|modules\|base\)-[0-9].*\)/\1/p')
release=$(echo "$packages" | sed -n 's/^linux-image-//p')
[ -n "$release" ] || fail "there is no kernel that linux-image-cloud-amd64 depends on"
# shellcheck disable=SC2086  # the list is words
(cd "$work/packages" && apt-get --quiet --quiet download $packages) || fail "apt-get download failed: see the lines above"
for package in "$work"/packages/*.deb; do
    dpkg-deb --extract "$package" "$work/system"
    dpkg-deb --show "$package" >>"$work/result/packages"
done
system=$work/system
[ -d "$system/lib/modules" ] || system=$work/system/usr
tree=lib/modules/$release

# The modules with all that they depend on; busybox in the guest wants them as they are, not compressed.
find "$system/$tree" -name '*.ko.xz' -exec "$busybox" unxz {} +
"$busybox" depmod -b "$system" "$release"
mkdir -p "$work/root/$tree"
cp "$system/$tree/modules.builtin" "$work/root/$tree/"
for module in $modules; do
    grep -q "/$module\.ko$" "$system/$tree/modules.builtin" && continue
    line=$(grep "/$module\.ko:" "$system/$tree/modules.dep") || fail "linux-image-$release has no module $module"
    for file in $(echo "$line" | tr -d :); do
        mkdir -p "$work/root/$tree/$(dirname "$file")"
        cp "$system/$tree/$file" "$work/root/$tree/$file"
    done
done
"$busybox" depmod -b "$work/root" "$release"

(cd "$work/root" && find . | LC_ALL=C sort | cpio --quiet --create --format=newc --owner=0:0) >"$work/result/modules.cpio"
image=$(find "$work/system" -type f -name 'vmlinuz*')
[ -n "$image" ] || fail "linux-image-$release has no vmlinuz"
cp "$image" "$work/result/vmlinuz"
mv "$work/result" "$directory"
