# SPDX-License-Identifier: GPL-3.0-or-later
"""The systemd unit of the agent.

It may do what a tunnel needs and nothing else: raw sockets, the network configuration, and
/dev/net/tun. ``systemd-analyze security v6ferry.service`` says how tight that is.
"""

from __future__ import annotations

UNIT_NAME = "v6ferry.service"
USER = "v6ferry"
GROUP = "v6ferry"
"""Who may use the control socket besides root."""

_UNIT = """\
# Written by v6ops.transition.agent; put changes into a drop-in (systemctl edit v6ferry).
[Unit]
Description=IPv6 transition stack (v6ferry)
Wants=network.target
After=network-pre.target network.target
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
# The tunnels' descriptors outlive the process: packets wait for the next one.
FileDescriptorStoreMax=512

User={user}
Group={group}
StateDirectory=v6ferry
StateDirectoryMode=0750
RuntimeDirectory=v6ferry
RuntimeDirectoryMode=0750
RuntimeDirectoryPreserve=yes
UMask=0077

AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW
CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
BindPaths=/dev/net/tun
DevicePolicy=closed
DeviceAllow=/dev/net/tun rw
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
# Of the tunables, those that tunnels and routers have.
ReadWritePaths=/proc/sys/net
ProtectProc=invisible
RemoveIPC=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources

[Install]
WantedBy=multi-user.target
"""


def unit_text(command: str, start_timeout: int, verbose: bool) -> str:
    """Return the unit file.

    Args:
        command: The agent's command line program, absolute.
        start_timeout: Seconds within which the agent has to be ready.
        verbose: Whether it logs more.
    """
    return _UNIT.format(
        command=command,
        arguments=" --verbose" if verbose else "",
        start_timeout=start_timeout,
        user=USER,
        group=GROUP,
    )
