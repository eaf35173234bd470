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


def run_resource_module(kind: str, options: ArgumentSpec, many: str | None = None) -> None:
    """Be the module that declares a resource.

    Args:
        kind: The kind of resource, as the agent calls it.
        options: What describes it, beside RESOURCE_OPTIONS.
        many: The option that has a list of resources instead of one; O(purge) comes with it.
    """
    specification = {**RESOURCE_OPTIONS, **options}
    if many is not None:
        specification.update(many_options(many, options))
    module = AnsibleModule(specification, supports_check_mode=True)
    resources = _resources(kind, options, module, many)
    wait = 0 if module.check_mode else module.params["wait"]
    if wait < 0:
        module.fail_json(msg=f"wait: {wait} is no time to wait; give seconds, or 0 for not at all")
    params: Resource = {"resources": resources, "dry_run": module.check_mode, "wait": wait}
    if module.params.get("purge"):
        params["purge"] = kind
    socket = module.params["socket"]
    try:
        answer = ControlClient(socket, CALL_TIMEOUT + wait).call("apply", params)
        outcomes = answer["resources"]
    except AgentNotFound as error:
        if not module.check_mode or os.path.isdir(STATE_DIRECTORY):
            module.fail_json(msg=str(error))
        outcomes = [_predict(resource) for resource in resources]
        module.warn(
            f"{_named(resources)}: the v6ferry agent is not installed here yet, so this is "
            "a prediction for a host without any resource; the options are not verified"
        )
    except ControlError as error:
        module.fail_json(msg=str(error))
    for number, resource in enumerate(resources):
        for warning in outcomes[number].get("warnings", ()):
            module.warn(f"{_named([resource])}: {warning}")
    result = _result(outcomes, is_list=many is not None and module.params[many] is not None)
    # What a purge removes comes behind them.
    for number, resource in enumerate(resources):
        status = outcomes[number]["status"] or {}
        if wait and resource["state"] == "present" and not status.get("ready"):
            module.fail_json(
                msg=f"{_named([resource])} is not ready after {wait} s: "
                f"{status.get('summary') or 'the agent does not say why'}; `v6ferry doctor` on "
                "the host tells more",
                **result,
            )
    module.exit_json(**result)


def many_options(many: str, options: ArgumentSpec) -> ArgumentSpec:
    """Return the options of a module that also takes a list of resources.

    Args:
        many: The name of the list.
        options: What describes a resource.
    """
    items: ArgumentSpec = {
        "name": {"type": "str", "required": True},
        "state": RESOURCE_OPTIONS["state"],
        **options,
    }
    return {
        many: {"type": "list", "elements": "dict", "options": items},
        "purge": {"type": "bool", "default": False},
    }


def _resources(
    kind: str, options: ArgumentSpec, module: AnsibleModule, many: str | None
) -> list[Resource]:
    """Read the one resource that the options describe, or those of the list."""
    items = [module.params]
    if many is not None and module.params[many] is not None:
        single = sorted(spec_as_written(options, module.params))
        if single:
            module.fail_json(msg=f"{many}: describe rules there or by {single[0]}, not both")
        items = module.params[many]
    elif module.params.get("purge"):
        module.fail_json(msg=f"purge: removes what {many} does not name; give that list, too")
    return [
        {
            "kind": kind,
            "name": item["name"],
            "state": item["state"],
            "spec": spec_as_written(options, item) if item["state"] == "present" else {},
        }
        for item in items
    ]


def _named(resources: list[Resource]) -> str:
    """Call resources by their names, for messages."""
    return ", ".join(f"{one['kind']} {one['name']}" for one in resources)


def _result(outcomes: list[Resource], is_list: bool) -> Resource:
    """Return what the module returns of what the agent says."""
    diffs = [
        {
            "before_header": _named([outcome]),
            "after_header": _named([outcome]),
            "before": as_yaml(outcome["before"]),
            "after": as_yaml(outcome["after"]),
        }
        for outcome in outcomes
    ]
    result = {
        "changed": any(outcome["changed"] for outcome in outcomes),
        "actions": [action for outcome in outcomes for action in outcome["actions"]],
    }
    if not is_list:
        return {**result, "status": outcomes[0]["status"], "diff": diffs[0]}
    changed = [diff for diff in diffs if diff["before"] != diff["after"]]
    return {
        **result,
        "status": {outcome["name"]: outcome["status"] for outcome in outcomes},
        "diff": changed,
    }


def _predict(resource: Resource) -> Resource:
    """What the agent will say once it is there, for a host that has no resource at all."""
    present = resource["state"] == "present"
    return {
        "kind": resource["kind"],
        "name": resource["name"],
        "changed": present,
        "before": None,
        "after": resource["spec"] if present else None,
        "actions": [f"create {resource['kind']} {resource['name']}"] if present else [],
        "status": None,
    }
