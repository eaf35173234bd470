# SPDX-License-Identifier: GPL-3.0-or-later
"""PortProxy beside HAProxy and nginx's stream module: one worker or thread each, on one core.

The proxies have one core, clients and servers the others. All proxies run all the time; those that
nobody uses cost nothing. HAProxy is measured with and without splice(2), for neither is always the
faster one; its options tcp-smart-connect, tcp-smart-accept and defer-accept make it no faster here.
Bulk comes from and goes to ends that copy nothing (``bulk_ends``). "On one core" has proxy, client
and server on a single core: then the rate is what all three together cost, and nobody waits.

The agent runs with the system's Python, as on a host that was set up by the role, where there is
one that is new enough; HAProxy and nginx are the system's, too.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.comparison import BenchError, By, Comparison, Fact
from tests.lab import PORTPROXY, Lab, LabHost
from tests.lab.portproxy.rules import PROXY4, V6, agent_shown, apply, counters, present
from tests.lab.processes import wait_until

WEB, BULK = 9000, 5201
OURS, HAPROXY, HAPROXY_SPLICE, NGINX = 8000, 8100, 8200, 8300
"""Ports of the proxies; each has WEB at the first and BULK at the next."""
SECONDS = 2
CLIENTS = 64
IDLE = 10_000
_HOLD = Path(__file__).with_name("hold.py")
_BULK_ENDS = Path(__file__).with_name("bulk_ends.py")
_SYSTEM_PYTHON = "/usr/bin/python3"

_NGINX_SERVER = """
daemon off; worker_processes 1; pid /run/nginx-web.pid; error_log /run/nginx-web.log;
events {{ worker_connections 15000; multi_accept on; }}
http {{
  access_log off; keepalive_requests 100000000; keepalive_timeout 600; client_header_timeout 600;
  server {{
    listen [{address}]:{port} backlog=4096;
    location / {{ default_type text/plain; return 200 "{page}"; }}
  }}
}}
"""
_PAGE = "a small page, as a service of an old network might have it\\n" * 2

_HAPROXY = """
global
  nbthread 1
  maxconn 4000
defaults
  mode tcp
  timeout connect 5s
  timeout client 600s
  timeout server 600s
{listeners}
"""
_LISTEN = """
listen l{port}
  bind {here}:{port} backlog 4096
  {options}
  server s [{there}]:{to}
"""

_NGINX_STREAM = """
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off; worker_processes 1; pid /run/nginx-stream.pid; error_log /run/nginx-stream.log;
events {{ worker_connections 15000; multi_accept on; }}
stream {{
  access_log off; tcp_nodelay on; proxy_timeout 600; proxy_buffer_size 64k; proxy_half_close on;
  server {{ listen {here}:{port} backlog=4096; proxy_pass [{there}]:{web}; }}
  server {{ listen {here}:{next}; proxy_pass [{there}]:{bulk}; }}
}}
"""


@dataclass
class Scene:
    """The lab with all proxies at work."""

    lab: Lab
    proxy_processes: dict[int, int]
    """The process of each proxy, by its port."""
    core: int
    """The core of the proxies."""
    ends: tuple[int, ...]
    """Cores of clients and servers."""
    receiver: int
    """The process of the server for bulk."""

    def client(self, *command: str, timeout: float = 60, cores: Sequence[int] | None = None) -> str:
        """Run a client's program on its cores, or on others."""
        chosen = ",".join(map(str, cores or self.ends))
        return self.lab["v4"].run(["taskset", "-c", chosen, *command], timeout=timeout).stdout


@contextlib.contextmanager
def scene() -> Iterator[Scene]:
    """Have the lab with all proxies at work, each on the first core."""
    cores = sorted(os.sched_getaffinity(0))
    with Lab(PORTPROXY) as lab:
        proxy, server = lab["proxy"], lab["v6"]
        server.write("/run/web.conf", _NGINX_SERVER.format(address=V6, port=WEB, page=_PAGE))
        web = server.popen(["nginx", "-c", "/run/web.conf"], start_new_session=True)
        receiver = server.popen(
            [sys.executable, _BULK_ENDS, "receive", V6, str(BULK)],
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        listeners = "".join(
            _LISTEN.format(port=port, here=PROXY4, there=V6, to=to, options=options)
            for port, to, options in (
                (HAPROXY, WEB, ""),
                (HAPROXY + 1, BULK, ""),
                (HAPROXY_SPLICE, WEB, "option splice-auto"),
                (HAPROXY_SPLICE + 1, BULK, "option splice-request\n  option splice-response"),
            )
        )
        proxy.write("/run/haproxy.cfg", _HAPROXY.format(listeners=listeners))
        # The kernel shares a core out by session first (sched(7), autogroups), and workers have one
        # each: so have all that are measured, and their servers.
        haproxy = proxy.popen(["haproxy", "-db", "-f", "/run/haproxy.cfg"], start_new_session=True)
        stream = _NGINX_STREAM.format(
            here=PROXY4, there=V6, port=NGINX, next=NGINX + 1, web=WEB, bulk=BULK
        )
        proxy.write("/run/stream.conf", stream)
        nginx = proxy.popen(["nginx", "-c", "/run/stream.conf"], start_new_session=True)
        proxy.start_agent(
            "--plane", "userspace", "--portproxy-workers", "1", python=_system_python()
        )
        apply(
            proxy,
            present("web", listen_address=PROXY4, listen_port=OURS, connect_address=V6,
                    connect_port=WEB),
            present("bulk", listen_address=PROXY4, listen_port=OURS + 1, connect_address=V6,
                    connect_port=BULK),
        )  # fmt: skip
        (worker,) = agent_shown(proxy)["process_ids"]
        for host, ports in (
            (proxy, (HAPROXY, HAPROXY_SPLICE + 1, NGINX + 1)),
            (server, (WEB, BULK)),
        ):
            for port in ports:
                wait_until(lambda host=host, port=port: _listens(host, port), 10)
                if not _listens(host, port):
                    raise BenchError(f"nobody listens on port {port} of {host.name}")
        processes = {
            OURS: worker,
            HAPROXY: haproxy.pid,
            HAPROXY_SPLICE: haproxy.pid,
            NGINX: _last_child(nginx.pid),
        }
        ends = tuple(cores[1:]) or tuple(cores)
        for process in processes.values():
            os.sched_setaffinity(process, cores[:1])
        for process in (_last_child(web.pid), receiver.pid):
            os.sched_setaffinity(process, ends)
        yield Scene(lab, processes, cores[0], ends, receiver.pid)
        os.kill(worker, 9)


def _system_python() -> str | None:
    """The interpreter of hosts that the role has set up; None if there is none that will do."""
    try:
        told = subprocess.run(
            [_SYSTEM_PYTHON, "-c", "import sys; print(sys.version_info >= (3, 10))"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    except OSError:
        return None
    return _SYSTEM_PYTHON if told.stdout.strip() == "True" else None


def _listens(host: LabHost, port: int) -> bool:
    return bool(host.run(["ss", "-Hltn", f"sport = :{port}"]).stdout)


def _last_child(process: int) -> int:
    """The worker of an nginx that stays in the foreground, behind nsenter or not."""
    wait_until(lambda: bool(_children(process)), 5)
    while children := _children(process):
        process = children[-1]
    return process


def _children(process: int) -> list[int]:
    path = Path(f"/proc/{process}/task/{process}/children")
    return [int(one) for one in path.read_text().split()] if path.exists() else []


# What is measured


def _megabits(scene: Scene, port: int, streams: int, cores: Sequence[int] | None = None) -> float:
    """Mbit/s that come through, with both ends on cores of their own, or on given ones."""
    os.sched_setaffinity(scene.receiver, cores or scene.ends)
    told = scene.client(
        sys.executable, str(_BULK_ENDS), "send", PROXY4, str(port + 1), str(SECONDS), str(streams),
        cores=cores,
    )  # fmt: skip
    received, seconds = map(float, told.split())
    return received * 8 / seconds / 1e6


def _wrk(scene: Scene, port: int, *options: str) -> str:
    return scene.client(
        "wrk", "-t", "1", "-c", str(CLIENTS), "-d", str(SECONDS), "--latency", *options,
        f"http://{PROXY4}:{port}/",
    )  # fmt: skip


def _rate(scene: Scene, port: int, *options: str) -> float:
    told = _wrk(scene, port, *options)
    found = re.search(r"Requests/sec:\s+([\d.]+)", told)
    if found is None or "Non-2xx" in told:
        raise BenchError(f"wrk through port {port}: {told.strip() or 'says nothing'}")
    return float(found[1])


def _short(scene: Scene, port: int) -> float:
    return _rate(scene, port, "-H", "Connection: close")


def _kept(scene: Scene, port: int) -> float:
    return _rate(scene, port)


_UNITS = {"us": 1.0, "ms": 1000.0, "s": 1e6}


def _p99(scene: Scene, port: int) -> float:
    """The reciprocal of the 99th percentile, so that more is better: answers a second."""
    told = _wrk(scene, port)
    found = re.search(r"99%\s+([\d.]+)(us|ms|s)", told)
    if found is None:
        raise BenchError(f"wrk through port {port} tells no latency: {told}")
    return 1e6 / (float(found[1]) * _UNITS[found[2]])


def _processor(
    scene: Scene, measure: Callable[[Scene, int], float], port: int, per: float
) -> float:
    """Work that a proxy does in a second of processor time, in units of ``per`` a result."""
    process = scene.proxy_processes[port]
    before = _ticks(process)
    rate = measure(scene, port)
    spent = (_ticks(process) - before) / os.sysconf("SC_CLK_TCK")
    return rate * SECONDS / max(spent, 0.01) / per


def _ticks(process: int) -> int:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@contextlib.contextmanager
def comparisons() -> Iterator[Sequence[Comparison | Fact]]:
    """Yield the comparisons; the lab they run in is up as long."""
    with contextlib.ExitStack() as labs:
        at = labs.enter_context(scene())

        def compared(
            name: str,
            unit: str,
            goal: float,
            measure: Callable[[Scene, int], float],
            peer: int = HAPROXY,
        ) -> Comparison:
            return Comparison(
                name, unit, goal, lambda: measure(at, OURS), lambda: measure(at, peer), By.RATIO
            )

        def one(scene: Scene, port: int) -> float:
            return _megabits(scene, port, 1)

        def eight(scene: Scene, port: int) -> float:
            return _megabits(scene, port, 8)

        def one_core(scene: Scene, port: int) -> float:
            return _megabits(scene, port, 1, (scene.core,))

        def eight_core(scene: Scene, port: int) -> float:
            return _megabits(scene, port, 8, (scene.core,))

        peers = ((HAPROXY, "HAProxy"), (HAPROXY_SPLICE, "HAProxy splicing"), (NGINX, "nginx"))
        bulk = [
            compared(f"PortProxy, {what}, {name}", "Mbit/s", 1.4, measure, peer)
            for what, measure in (
                ("one stream", one),
                ("8 streams", eight),
                ("one stream on one core", one_core),
                ("8 streams on one core", eight_core),
            )
            for peer, name in peers
        ]

        def short_cpu(scene: Scene, port: int) -> float:
            return _processor(scene, _short, port, 1.0)

        def bulk_cpu(scene: Scene, port: int) -> float:
            return _processor(scene, one, port, 1.0)

        yield [
            *bulk,
            compared("PortProxy, Mbit per CPU second, HAProxy", "Mbit", 1.4, bulk_cpu),
            compared("PortProxy, short connections, HAProxy", "1/s", 1.0, _short),
            compared("PortProxy, short connections, nginx", "1/s", 1.0, _short, NGINX),
            compared("PortProxy, short, per CPU second, HAProxy", "1/s", 1.0, short_cpu),
            compared("PortProxy, kept connections, HAProxy", "1/s", 0.9, _kept),
            compared("PortProxy, kept connections, nginx", "1/s", 0.9, _kept, NGINX),
            compared("PortProxy, kept, 1/p99, HAProxy", "1/s", 1.0, _p99),
            *_idle(at),
        ]


def _idle(at: Scene) -> Iterator[Fact]:
    """Python memory of idle connections, beyond the kernel's own."""
    worker = at.proxy_processes[OURS]
    soft, _hard = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    number = min(IDLE, (soft - 200) // 2)
    before = own_memory(worker)
    holder = at.lab["v4"].popen(
        [sys.executable, _HOLD, PROXY4, str(OURS), str(number)], stdin=-1, stdout=-1
    )
    holder.stdout.readline()
    wait_until(lambda: counters(at.lab["proxy"], "web")["active"] >= number, 30)
    if counters(at.lab["proxy"], "web")["active"] < number:
        raise BenchError(f"not all of {number} connections came through")
    after = own_memory(worker)
    holder.kill()
    holder.communicate()
    yield Fact(f"PortProxy, memory of each of {number} idle connections", "bytes",
               (after - before) / number)  # fmt: skip


def own_memory(process: int) -> float:
    """Bytes of a process's own memory."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return float(line.split()[1]) * 1024
    raise BenchError(f"process {process} tells no RssAnon")
