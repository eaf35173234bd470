# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules that declare a resource of the agent have in common."""

from __future__ import annotations

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.v6ops.transition.plugins.module_utils._control_client import (
    AgentNotFound,
    ControlClient,
    ControlError,
)
from ansible_collections.v6ops.transition.plugins.module_utils._diff import as_yaml

if t.TYPE_CHECKING:
    ArgumentSpec = t.Dict[str, t.Dict[str, t.Any]]
    Resource = t.Dict[str, t.Any]

STATE_DIRECTORY = "/var/lib/v6ferry"
"""Where the agent keeps the desired state; a host without it has never had the agent."""

CALL_TIMEOUT = 30
"""Seconds that the agent may take for a call, besides the time it is asked to wait."""

CONTROL_OPTIONS: ArgumentSpec = {
    "socket": {"type": "path", "default": "/run/v6ferry/control.sock"},
}

RESOURCE_OPTIONS: ArgumentSpec = {
    **CONTROL_OPTIONS,
    "name": {"type": "str", "default": "default"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "wait": {"type": "int", "default": 0},
}

TUNNEL_OPTIONS: ArgumentSpec = {
    "underlay_interfaces": {"type": "list", "elements": "str", "default": []},
    "underlay_addresses": {"type": "list", "elements": "str", "default": []},
    "tunnel_mtu": {"type": "str", "choices": ["static", "dynamic"], "default": "static"},
    "mtu": {"type": "int"},
    "ttl": {"type": "int", "default": 64},
    "dscp": {"type": "str", "default": "0"},
    "allowed_endpoints": {"type": "list", "elements": "str", "default": []},
}

SIXTOFOUR_OPTIONS: ArgumentSpec = {
    "interface": {"type": "str", "default": "sixtofour0"},
    "globally_unique": {"type": "bool", "default": True},
}

THROUGH_RELAY_OPTIONS: ArgumentSpec = {
    "relay": {"type": "str"},
    "accept_relays": {"type": "str", "choices": ["any", "configured"], "default": "any"},
    "relay_refresh_interval": {"type": "int", "default": 86400},
    "route_metric": {"type": "int", "default": 2048},
}

ADVERTISING_OPTIONS: ArgumentSpec = {
    "preference": {"type": "str", "choices": ["low", "medium", "high"], "default": "medium"},
    "dns_servers": {"type": "list", "elements": "str", "default": []},
    "dns_search": {"type": "list", "elements": "str", "default": []},
    "dns_lifetime": {"type": "int", "default": 1800},
}

SITE_OPTIONS: ArgumentSpec = {
    **ADVERTISING_OPTIONS,
    "router_lifetime": {"type": "int"},
    "preferred_lifetime": {"type": "int"},
    "valid_lifetime": {"type": "int", "default": 5400},
    "advertisement_interval": {"type": "int", "default": 600},
    "advertised_mtu": {"type": "int"},
}


def spec_as_written(options: ArgumentSpec, values: t.Mapping[str, t.Any]) -> Resource:
    """Return the values that differ from their defaults, which is what a person writes.

    Ansible fills in the defaults of options and suboptions before a module sees them. They are the
    agent's own, so leaving them out changes nothing but keeps stored state and diffs short. Options
    whose default depends on others have none here: the agent chooses it.

    Args:
        options: The options as an argument_spec describes them.
        values: Their values as Ansible parsed them.
    """
    written = {}
    for option, described in options.items():
        value = values.get(option)
        if value is None or value == described.get("default"):
            continue
        if "options" in described:
            value = [spec_as_written(described["options"], item) for item in value]
        written[option] = value
    return written


def run_resource_module(kind: str, options: ArgumentSpec) -> None:
    """Be the module that declares a resource.

    Args:
        kind: The kind of resource, as the agent calls it.
        options: What describes it, beside RESOURCE_OPTIONS.
    """
    module = AnsibleModule({**RESOURCE_OPTIONS, **options}, supports_check_mode=True)
    present = module.params["state"] == "present"
    resource = {
        "kind": kind,
        "name": module.params["name"],
        "state": module.params["state"],
        "spec": spec_as_written(options, module.params) if present else {},
    }
    wait = 0 if module.check_mode else module.params["wait"]
    if wait < 0:
        module.fail_json(msg=f"wait: {wait} is no time to wait; give seconds, or 0 for not at all")
    try:
        outcome = _apply(module.params["socket"], resource, module.check_mode, wait)
    except AgentNotFound as error:
        if not module.check_mode or os.path.isdir(STATE_DIRECTORY):
            module.fail_json(msg=str(error))
        outcome = _predict(resource)
        module.warn(
            f"{kind} {resource['name']}: the v6ferry agent is not installed here yet, so this is "
            "a prediction for a host without any resource; the options are not verified"
        )
    except ControlError as error:
        module.fail_json(msg=str(error))
    for warning in outcome.get("warnings", ()):
        module.warn(f"{kind} {resource['name']}: {warning}")
    result = {
        "changed": outcome["changed"],
        "actions": outcome["actions"],
        "status": outcome["status"],
        "diff": {
            "before_header": f"{kind} {resource['name']}",
            "after_header": f"{kind} {resource['name']}",
            "before": as_yaml(outcome["before"]),
            "after": as_yaml(outcome["after"]),
        },
    }
    status = outcome["status"] or {}
    if wait and present and not status.get("ready"):
        module.fail_json(
            msg=f"{kind} {resource['name']} is not ready after {wait} s: "
            f"{status.get('summary') or 'the agent does not say why'}; `v6ferry doctor` on the "
            "host tells more",
            **result,
        )
    module.exit_json(**result)


def _apply(socket: str, resource: Resource, dry_run: bool, wait: int) -> Resource:
    """Hand the resource to the agent and return what the agent says of it."""
    answer = ControlClient(socket, CALL_TIMEOUT + wait).call(
        "apply", {"resources": [resource], "dry_run": dry_run, "wait": wait}
    )
    return answer["resources"][0]


def _predict(resource: Resource) -> Resource:
    """What `_apply` will say once the agent is there, for a host that has no resource at all."""
    present = resource["state"] == "present"
    return {
        "changed": present,
        "before": None,
        "after": resource["spec"] if present else None,
        "actions": [f"create {resource['kind']} {resource['name']}"] if present else [],
        "status": None,
    }
