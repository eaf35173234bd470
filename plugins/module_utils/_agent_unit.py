# SPDX-License-Identifier: GPL-3.0-or-later
"""The systemd units of the agent, and of the helper that changes the DNS configuration for it.

The agent may do what tunnels and proxies need and nothing else: raw sockets, low ports, the network
configuration, /dev/net/tun, and BPF programs. ``systemd-analyze security v6ferry.service`` says how
tight that is.
"""

from __future__ import annotations

UNIT_NAME = "v6ferry.service"
USER = "v6ferry"
GROUP = "v6ferry"
"""Who may use the control socket besides root."""

RESOLVER_SOCKET = "v6ferry-resolver.socket"

# What neither the agent nor its helper needs.
_CONFINEMENT = """\
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service
"""

_UNIT = """\
# Written by v6ops.transition.agent; put changes into a drop-in (systemctl edit v6ferry).
[Unit]
Description=IPv6 transition stack (v6ferry)
Wants=network.target v6ferry-resolver.socket
After=network-pre.target network.target v6ferry-resolver.socket
StartLimitIntervalSec=60
StartLimitBurst=10

[Service]
Type=notify
ExecStart={command} run{arguments}
ExecReload=/bin/kill -HUP $MAINPID
Restart=always
RestartSec=1
WatchdogSec=30
TimeoutStartSec={start_timeout}
TimeoutStopSec=15
# Descriptors of tunnels and listening sockets outlive the process: packets wait for the next one.
FileDescriptorStoreMax=8192
# Proxied connections have processes of their own, which go on without the agent until it is back.
KillMode=process
LimitNOFILE=1048576

User={user}
Group={group}
StateDirectory=v6ferry
StateDirectoryMode=0750
RuntimeDirectory=v6ferry
RuntimeDirectoryMode=0750
RuntimeDirectoryPreserve=yes
UMask=0077

# CAP_NET_BIND_SERVICE is for PortProxy, and for DHCP and DNS on private interfaces (dnsmasq).
AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW CAP_NET_BIND_SERVICE CAP_BPF
CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW CAP_NET_BIND_SERVICE CAP_BPF
{confinement}BindPaths=/dev/net/tun
DevicePolicy=closed
DeviceAllow=/dev/net/tun rw
# Of the tunables, those that tunnels and routers have.
ReadWritePaths=/proc/sys/net
ProtectProc=invisible
RemoveIPC=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET
SystemCallFilter=~@privileged @resources
# Programs that carry the tunnels in the kernel.
SystemCallFilter=bpf
LimitMEMLOCK=infinity

[Install]
WantedBy=multi-user.target
"""


_RESOLVER_SOCKET = """\
# Written by v6ops.transition.agent.
[Unit]
Description=DNS configuration on behalf of v6ferry
PartOf=v6ferry.service

[Socket]
ListenStream=/run/v6ferry-resolver.sock
SocketUser={user}
SocketMode=0600
Accept=yes
RemoveOnStop=yes
"""

_RESOLVER_SERVICE = """\
# Written by v6ops.transition.agent.
[Unit]
Description=DNS configuration on behalf of v6ferry
CollectMode=inactive-or-failed

[Service]
ExecStart={command} resolver-helper
StandardInput=socket
StandardOutput=socket
StandardError=journal
RuntimeMaxSec=60

# It is root, for resolv.conf and systemd-resolved, and can do nothing else.
CapabilityBoundingSet=
{confinement}ReadWritePaths=/etc -/run
RestrictAddressFamilies=AF_UNIX AF_NETLINK
"""


def units(command: str, start_timeout: int, verbose: bool) -> dict[str, str]:
    """Return the unit files, by name.

    Args:
        command: The agent's command line program, absolute.
        start_timeout: Seconds within which the agent has to be ready.
        verbose: Whether it logs more.
    """
    values = {
        "command": command,
        "arguments": " --verbose" if verbose else "",
        "start_timeout": start_timeout,
        "user": USER,
        "group": GROUP,
        "confinement": _CONFINEMENT,
    }
    return {
        UNIT_NAME: _UNIT.format(**values),
        RESOLVER_SOCKET: _RESOLVER_SOCKET.format(**values),
        "v6ferry-resolver@.service": _RESOLVER_SERVICE.format(**values),
    }
