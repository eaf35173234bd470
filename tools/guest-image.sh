#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Make build/guest/vmlinuz and build/guest/initramfs.cpio: Debian's kernel, whose sit driver is the stranger that
# tests/interop talks with, and around it busybox, iproute2, radvd, isatapd and an init that takes commands.
#
# All of it comes from the Debian packages named below, in the versions that this machine's package lists offer;
# build/guest/packages says which they were. Needs no root, and takes a few seconds once, then none:
# delete build/guest to have newer packages.
set -eu
cd "$(dirname "$0")/.."

kernel_metapackage=linux-image-cloud-amd64
packages="busybox-static dash iproute2 isatapd netcat-openbsd radvd"
libraries="libc6 libbpf1 libbsd0 libcap2 libelf1 libmd0 libmnl0 libxtables12 zlib1g"
programs="/bin/dash /bin/nc.openbsd /sbin/ip /sbin/tc /usr/sbin/isatapd /usr/sbin/radvd"
modules="virtio_pci virtio_net virtio_console sit cls_bpf sch_ingress veth"
object=agent/v6ferry/forwarding/ebpf/tunnel.bpf.o

guest=build/guest
stamp=$guest/stamp
wanted=$(cat tools/guest-image.sh tests/interop/initramfs/init "$object" | sha256sum)
[ -e "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && exit 0

fail() {
    echo "guest-image: $*" >&2
    exit 1
}

for tool in apt-get dpkg-deb cpio; do
    command -v "$tool" >/dev/null || fail "$tool is not installed: the guest is made of Debian packages, on Debian 12 (apt-get install cpio)"
done

# The metapackage depends on the kernel of the day.
kernel_package() {
    apt-cache depends --important "$kernel_metapackage" 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p'
}

echo "guest-image: making the guest in $guest (once, a few seconds)"
if [ -z "$(kernel_package)" ]; then
    apt-get --quiet --quiet update || fail "apt-get update failed: run it as root, then start again"
fi
kernel=$(kernel_package)
[ -n "$kernel" ] || fail "apt knows no package $kernel_metapackage: an amd64 Debian 12 machine offers it"

mkdir -p "$guest"
work=$(mktemp -d "$guest/making.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/packages" "$work/system" "$work/root"

# apt's own download user may not enter the checkout; as the caller it warns about that and does the same.
download() {
    (
        cd "$work/packages"
        # shellcheck disable=SC2086  # the lists are words
        apt-get --quiet --quiet -o APT::Sandbox::User="$(id -un)" download "$kernel" $packages $libraries
    )
}
if ! download 2>"$work/refusal"; then
    # A list of last month names versions that the archive has replaced.
    apt-get --quiet --quiet update || fail "$(tail -n 1 "$work/refusal"); and apt-get update failed: run it as root, then start again"
    download || fail "apt-get download failed: see the lines above"
fi
for package in "$work"/packages/*.deb; do
    dpkg-deb --extract "$package" "$work/system"
done

# Each program with the libraries that the packages' own loader finds for it: none may come from this machine.
root=$work/root
system=$work/system
for directory in bin dev etc lib64 lib/x86_64-linux-gnu proc run sys tmp; do
    mkdir -p "$root/$directory"
done
loader=$system/lib64/ld-linux-x86-64.so.2
[ -e "$loader" ] || loader=$system/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2
library_path=$system/lib/x86_64-linux-gnu:$system/usr/lib/x86_64-linux-gnu
cp -L "$loader" "$root/lib64/"
for program in $programs; do
    "$loader" --library-path "$library_path" --list "$system$program" >"$work/needs"
    foreign=$(sed -n "\| => $system/|d; s|^[[:space:]]*\(.*\) => .*|\1|p" "$work/needs")
    [ -z "$foreign" ] || fail "$program needs $foreign, which no listed package has: add its package to \$libraries"
    cp "$system$program" "$root/bin/"
    sed -n "s|.* => \($system/[^ ]*\) .*|\1|p" "$work/needs" >"$work/libraries"
    while read -r library; do
        cp -L "$library" "$root/lib/x86_64-linux-gnu/"
    done <"$work/libraries"
done

# busybox lends every other command. Its own shell would prefer its own ip, which knows no ISATAP: hence dash.
cp "$system/bin/busybox" "$root/bin/"
ln -s dash "$root/bin/sh"
for applet in $("$system/bin/busybox" --list); do
    [ -e "$root/bin/$applet" ] || ln -s busybox "$root/bin/$applet"
done

# The modules with all that they depend on.
release=${kernel#linux-image-}
tree=lib/modules/$release
"$system/bin/busybox" depmod -b "$system" "$release"
for module in $modules; do
    line=$(grep "/$module\.ko:" "$system/$tree/modules.dep") || fail "$kernel has no module $module"
    for file in $(echo "$line" | tr -d :); do
        mkdir -p "$root/$tree/$(dirname "$file")"
        cp "$system/$tree/$file" "$root/$tree/$file"
    done
done
"$system/bin/busybox" depmod -b "$root" "$release"

# radvd gives up its rights for none, but it asks who root is.
echo 'root:x:0:0:root:/:/bin/sh' >"$root/etc/passwd"
echo 'root:x:0:' >"$root/etc/group"
echo '127.0.0.1 localhost' >"$root/etc/hosts"
install -m 755 tests/interop/initramfs/init "$root/init"
install -m 644 "$object" "$root/tunnel.bpf.o"

(cd "$root" && find . | LC_ALL=C sort | cpio --quiet --create --format=newc --owner=0:0) >"$work/initramfs.cpio"
(cd "$work/packages" && for package in *.deb; do dpkg-deb --show "$package"; done) >"$work/list"
mv "$work/initramfs.cpio" "$guest/initramfs.cpio"
mv "$work/list" "$guest/packages"
cp "$system/boot/vmlinuz-$release" "$guest/vmlinuz"
echo "$wanted" >"$stamp"
