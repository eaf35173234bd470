#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# tools/build-bpf.sh [--check | SOURCE OBJECT]: compile the fast path to the object that the agent
# carries, or see whether that object is what the source gives, or compile another source. The
# compiler's version is pinned, for another one gives other bytes.
set -eu
case $# in
    2)
        source=$(realpath "$1")
        object=$(realpath -m "$2")
        ;;
    *)
        source=agent/bpf/tunnel.bpf.c
        object=agent/v6ferry/forwarding/ebpf/tunnel.bpf.o
        ;;
esac
cd "$(dirname "$0")/.."
made=$(mktemp)
trap 'rm -f "$made"' EXIT INT TERM
# -g is for BTF, which tells the kernel and people what the maps hold; what is for debuggers goes.
clang-14 -target bpfel -O2 -g -Wall -Wextra -Werror -Wno-sign-compare \
    -Wno-address-of-packed-member -fdebug-compilation-dir=. \
    "-I/usr/include/$(dpkg-architecture --query DEB_HOST_MULTIARCH)" \
    -c "$source" -o "$made"
llvm-strip-14 -g "$made"
if [ "${1:-}" = --check ]; then
    cmp -s "$made" "$object" || {
        echo "build-bpf: $object is not what $source gives: run make bpf, commit both" >&2
        exit 1
    }
    exit 0
fi
install -m 644 "$made" "$object"
