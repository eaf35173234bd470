#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Make the guests of tests/interop in build/guest out of Debian packages.
#
#   system.cpio      the root of every guest: busybox, iproute2, radvd, isatapd, and an init that takes commands
#   python.cpio      for those that run our agent: Debian 12's Python, the agent's libraries, iperf3, ethtool
#   agent.cpio       the agent of this checkout
#   kernels/SUITE/   the kernel of a Debian suite: vmlinuz, modules.cpio; or why it cannot be had: missing
#
# The Linux kernel concatenates archives that follow one another, so a guest gets those that it needs. The packages
# are the newest of their suites when they are taken (files "packages" say which): delete build/guest to have newer
# ones. Takes half a minute once, then none; needs no root. Wants tools/dev-setup.sh to have run.
set -eu
cd "$(dirname "$0")/.."

packages="busybox-static dash iproute2 isatapd netcat-openbsd radvd"
libraries="libc6 libbpf1 libbsd0 libcap2 libelf1 libmd0 libmnl0 libxtables12 zlib1g"
programs="/bin/dash /bin/nc.openbsd /sbin/ip /sbin/tc /usr/sbin/isatapd /usr/sbin/radvd"
python_packages="ethtool iperf3 python3.11-minimal libpython3.11-minimal libpython3.11-stdlib"
python_libraries="libexpat1 libffi8 libiperf0 libsctp1 libsqlite3-0 libssl3"
python_programs="/sbin/ethtool /usr/bin/iperf3 /usr/bin/python3.11"
python_modules="_ctypes _sqlite3 _ssl" # of those that need libraries, the ones that the agent comes to use
agent_libraries="dns pyroute2"
kernels="bookworm bookworm-backports"
wanted_kernels="bullseye trixie-backports" # and it is no failure if they cannot be had

guest=build/guest

fail() {
    echo "guest-image: $*" >&2
    exit 1
}

for tool in apt-get dpkg-deb cpio; do
    command -v "$tool" >/dev/null || fail "$tool is not installed: the guests are made of Debian packages, on a Debian system (apt-get install cpio)"
done

# is_made THING INGREDIENT...: whether THING was made of the same ingredients, or else what the stamp shall say.
is_made() {
    stamp=$guest/$1.stamp
    shift
    wanted=$(cat "$0" "$@" | sha256sum)
    [ -e "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]
}

pack() {
    (cd "$1" && find . | LC_ALL=C sort | cpio --quiet --create --format=newc --owner=0:0) >"$work/archive"
    mv "$work/archive" "$2"
}

# Libraries into a root, those that the packages' own loader finds for a file: none may come from this machine.
install_libraries() {
    "$loader" --library-path "$library_path" --list "$2" >"$work/needs"
    foreign=$(sed -n "\| => $system/|d; s|^[[:space:]]*\(.*\) => .*|\1|p" "$work/needs")
    [ -z "$foreign" ] || fail "${2#"$system"} needs $foreign, which no listed package has: add its package"
    sed -n "s|.* => \($system/[^ ]*\) .*|\1|p" "$work/needs" >"$work/libraries"
    while read -r library; do
        cp -L "$library" "$1/lib/x86_64-linux-gnu/"
    done <"$work/libraries"
}

install_programs() {
    root=$1
    shift
    for program in "$@"; do
        cp "$system$program" "$root/bin/"
        install_libraries "$root" "$system$program"
    done
}

make_system() {
    root=$work/root
    for directory in bin dev etc lib64 lib/x86_64-linux-gnu proc root run sys tmp; do
        mkdir -p "$root/$directory"
    done
    cp -L "$loader" "$root/lib64/"
    # shellcheck disable=SC2086  # the lists are words, here and below
    install_programs "$root" $programs
    # busybox lends every other command. Its own shell would prefer its own ip, which knows no ISATAP: hence dash.
    cp "$system/bin/busybox" "$root/bin/"
    ln -s dash "$root/bin/sh"
    for applet in $("$system/bin/busybox" --list); do
        [ -e "$root/bin/$applet" ] || ln -s busybox "$root/bin/$applet"
    done
    # radvd gives up its rights for none, but it asks who root is.
    echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
    echo 'root:x:0:' >"$root/etc/group"
    echo '127.0.0.1 localhost' >"$root/etc/hosts"
    install -m 755 tests/interop/initramfs/init "$root/init"
    pack "$root" "$guest/system.cpio"
    cp "$system/bin/busybox" "$guest/busybox"
}

# Kept unpacked as well, for guest_python.
make_python() {
    rm -rf "$guest/python"
    mkdir -p "$guest/python/bin" "$guest/python/lib/x86_64-linux-gnu" "$guest/python/lib64" "$guest/python/usr/lib"
    cp -L "$loader" "$guest/python/lib64/"
    # shellcheck disable=SC2086
    install_programs "$guest/python" $python_programs
    for module in $python_modules; do
        install_libraries "$guest/python" "$system"/usr/lib/python3.11/lib-dynload/"$module".*.so
    done
    ln -s python3.11 "$guest/python/bin/python3"
    mv "$system/usr/lib/python3.11" "$guest/python/usr/lib/"
    site=$guest/python/usr/lib/python3.11
    for library in $agent_libraries; do
        cp -R "$(.venv/bin/python -c "import $library; print($library.__path__[0])")" "$site/"
    done
    rm -rf "$site/test" "$site/__pycache__"
    compile "$guest/python" /usr/lib/python3.11
    pack "$guest/python" "$guest/python.cpio"
}

make_agent() {
    mkdir -p "$work/agent/usr/lib/python3.11"
    cp -R agent/v6ferry "$work/agent/usr/lib/python3.11/"
    find "$work/agent" -name __pycache__ -exec rm -r {} +
    compile "$work/agent" /usr/lib/python3.11/v6ferry
    PYTHONPATH=$work/agent/usr/lib/python3.11 guest_python -c 'import v6ferry.daemon.main'
    pack "$work/agent" "$guest/agent.cpio"
}

# compile ROOT DIRECTORY: so that the guest's slow processor need not, and by no time of a file.
compile() {
    guest_python -m compileall -q -j 0 --invalidation-mode unchecked-hash -s "$1" -p / "$1$2"
}

# The guest's Python on this machine; what it says is an error.
guest_python() {
    PYTHONHOME=$guest/python/usr "$guest/python/lib64/ld-linux-x86-64.so.2" \
        --library-path "$guest/python/lib/x86_64-linux-gnu" "$guest/python/bin/python3.11" "$@" \
        >"$work/said" 2>&1 || fail "$(cat "$work/said")"
}

# take PACKAGE...: the system that they are, unpacked.
take() {
    [ -d "$work/apt" ] || tools/apt-view.sh bookworm "$work/apt"
    mkdir -p "$work/packages" "$system"
    (cd "$work/packages" && APT_CONFIG=$PWD/../apt/apt.conf apt-get --quiet --quiet download "$@") ||
        fail "apt-get download failed: see the lines above"
    for package in "$work"/packages/*.deb; do
        dpkg-deb --extract "$package" "$system"
    done
}

mkdir -p "$guest/kernels"
work=$(mktemp -d "$guest/making.XXXXXX")
trap 'rm -rf "$work"' EXIT
system=$work/system
loader=$system/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2
library_path=$system/lib/x86_64-linux-gnu:$system/usr/lib/x86_64-linux-gnu

if ! is_made system tests/interop/initramfs/init tools/apt-view.sh agent/bundle-requirements.txt; then
    echo "guest-image: making the guests in $guest (once, half a minute)"
    rm -f "$guest/agent.stamp"
    # shellcheck disable=SC2086
    take $packages $libraries $python_packages $python_libraries
    make_system
    make_python
    (cd "$work/packages" && for package in *.deb; do dpkg-deb --show "$package"; done) >"$guest/packages"
    echo "$wanted" >"$stamp"
fi
# shellcheck disable=SC2046  # no file of the agent has a space in its name
if ! is_made agent $(find agent/v6ferry -type f -not -path '*/__pycache__/*' | LC_ALL=C sort); then
    make_agent
    echo "$wanted" >"$stamp"
fi
for suite in $kernels $wanted_kernels; do
    is_made "kernels/$suite" tools/guest-kernel.sh tools/apt-view.sh && continue
    rm -rf "$guest/kernels/$suite"
    if ! tools/guest-kernel.sh "$suite" "$guest/busybox" "$guest/kernels/$suite" 2>"$work/refusal"; then
        case " $wanted_kernels " in *" $suite "*) ;; *) fail "$(cat "$work/refusal")" ;; esac
        # No stamp: the next time may be luckier.
        echo "guest-image: goes on without the kernel of $suite: $(tail -n 1 "$work/refusal")"
        mkdir "$guest/kernels/$suite"
        tail -n 1 "$work/refusal" >"$guest/kernels/$suite/missing"
        continue
    fi
    echo "$wanted" >"$stamp"
done
