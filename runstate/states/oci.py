"""The state as the OCI runtime spec has it (runtime.md, State): what hooks get on stdin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

CREATING = "creating"
"""The spec's word for what has no status here yet: a container that `create` is making."""


def oci_state(
    container_id: str, status: str, pid: int | None, bundle: str, config: Mapping[str, Any]
) -> dict[str, Any]:
    """The state as JSON.

    Args:
        container_id: The container's id.
        status: A :class:`~runstate.states.status.Status`, or ``creating``.
        pid: Init's, as the reader sees it; None: left out, because there is none.
        bundle: The bundle's directory.
        config: The configuration's JSON, for its version and its annotations.
    """
    state: dict[str, Any] = {
        "ociVersion": config.get("ociVersion", ""),
        "id": container_id,
        # OCI knows no `pausing`; the container runs until the kernel says that it is paused.
        "status": "running" if status == "pausing" else str(status),
    }
    if pid is not None:
        state["pid"] = pid
    state["bundle"] = bundle
    annotations = config.get("annotations")
    if annotations:
        state["annotations"] = annotations
    return state
