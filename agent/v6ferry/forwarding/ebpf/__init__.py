# SPDX-License-Identifier: GPL-3.0-or-later
"""The eBPF plane: the tables, executed in the kernel by ``agent/bpf/tunnel.bpf.c``."""
