"""Configs with a filter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from runstate.config.seccomp import Seccomp

if TYPE_CHECKING:
    from runstate.config import Config


def rule(names: str | list[str], action: str, **more: Any) -> dict[str, Any]:
    """A rule; its action without the SCMP_ACT_."""
    return {
        "names": [names] if isinstance(names, str) else names,
        "action": f"SCMP_ACT_{action}",
        **more,
    }


def filtered(config: Config, *rules: dict[str, Any], default: str = "ALLOW", **more: Any) -> Config:
    """The config with this filter."""
    form = {"defaultAction": f"SCMP_ACT_{default}", "syscalls": list(rules), **more}
    assert config.linux is not None
    return attrs.evolve(config, linux=attrs.evolve(config.linux, seccomp=Seccomp.from_dict(form)))


def privileged(config: Config) -> Config:
    """The config without noNewPrivileges."""
    assert config.process is not None
    return attrs.evolve(config, process=attrs.evolve(config.process, no_new_privileges=False))
