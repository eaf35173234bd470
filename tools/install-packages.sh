#!/bin/sh
# Install the Debian packages that the lab needs and are missing: install-packages.sh bpf|demo|bench|molecule|test
set -eu

bpf="clang-14 dpkg-dev libbpf-dev linux-libc-dev llvm-14"
demo="bind9 iperf3 iproute2 iputils-ping libbpf1 python3-venv tcpdump"
molecule="mmdebstrap podman runc"
bench="$demo $molecule cpio curl haproxy libnginx-mod-stream nginx-light qemu-system-x86 wrk"
test="$demo $bpf bind9-dnsutils bird2 cpio curl ethtool frr haproxy isatapd ndisc6 nftables procps qemu-system-x86 busybox-static radvd shellcheck tshark zstd"

case "${1:-}" in
    bpf) wanted=$bpf ;;
    demo) wanted=$demo ;;
    bench) wanted=$bench ;;
    molecule) wanted=$molecule ;;
    test) wanted=$test ;;
    *)
        echo "usage: $0 bpf|demo|bench|molecule|test" >&2
        exit 2
        ;;
esac

missing=""
for package in $wanted; do
    state=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "install-packages: these are missing, and there is no apt-get to install them:$missing" >&2
    exit 1
fi
if [ "$(id -u)" != 0 ]; then
    echo "install-packages: run as root, or first: apt-get install$missing" >&2
    exit 1
fi
echo "install-packages: installing$missing"

# The lab starts the servers itself, inside its own hosts; on this machine none of them may start.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT INT TERM
fi
log=$(mktemp)
export DEBIAN_FRONTEND=noninteractive
# The names are words without spaces.
# shellcheck disable=SC2086
if ! { apt-get update -qq && apt-get install -qq --yes --no-install-recommends $missing; } >"$log" 2>&1; then
    cat "$log" >&2
    echo "install-packages: apt-get could not install$missing; the reason is above" >&2
    rm -f "$log"
    exit 1
fi
rm -f "$log"
