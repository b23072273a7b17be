"""Hooks for tests: shell programs that write down what they find where they run.

They are a static busybox by its path, a shell by their first argument; so each of them shows
that the two are kept apart.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from runstate import Config

if TYPE_CHECKING:
    from pathlib import Path

BUSYBOX = "/bin/busybox"
OF_HOST = ("prestart", "createRuntime", "poststart", "poststop")
POINTS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")

_NOTE = """
b=/bin/busybox
read -r me _ < /proc/self/stat  # as this /proc has it
$b cat > $LOG/$0.stdin
$b pwd -P > $LOG/$0.cwd
$b id -u > $LOG/$0.uid
umask > $LOG/$0.umask
$b cat /proc/$me/environ > $LOG/$0.env
$b cat /proc/$me/status > $LOG/$0.status
for n in user mnt pid net ipc uts cgroup; do
    echo "$n $($b readlink /proc/$me/ns/$n)"
done > $LOG/$0.ns
$b hostname > $LOG/$0.hostname
echo $0 >> $LOG/order
"""


def shell(script: str, *args: str, **more: Any) -> dict[str, Any]:
    """A hook that is this shell script."""
    return {"path": BUSYBOX, "args": ["sh", "-c", script, *args], **more}


class Notes:
    """What the hooks of a container have written down, in one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.chmod(0o777)

    def hook(self, name: str, before: str = "", after: str = "", **more: Any) -> dict[str, Any]:
        """A hook that writes down all that it finds, under this name."""
        env = [f"LOG={self.directory}", *more.pop("env", ())]
        return shell(f"{before}\n{_NOTE}\n{after}", name, env=env, **more)

    def mark(self, name: str) -> dict[str, Any]:
        """A hook that writes down only that it was there."""
        return shell(f"echo {name} >> {self.directory}/order")

    @property
    def order(self) -> list[str]:
        """The names of those that have run, in their order."""
        path = self.directory / "order"
        return path.read_text().split() if path.exists() else []

    def text(self, name: str, what: str) -> str:
        """What one of them has found."""
        return (self.directory / f"{name}.{what}").read_text()

    def state(self, name: str) -> Any:
        """What one of them has read."""
        return json.loads(self.text(name, "stdin"))

    def namespaces(self, name: str) -> dict[str, str]:
        """Where one of them was."""
        lines = self.text(name, "ns").splitlines()
        return {line.split()[0]: line.split()[1] for line in lines}

    def config(self, config: Config, hooks: dict[str, Any], **changes: Any) -> Config:
        """A configuration with these hooks, in whose container the directory is to be seen."""
        raw = config.to_dict()
        where = str(self.directory)
        bind = {"destination": where, "source": where, "type": "bind", "options": ["bind"]}
        if raw.get("mounts"):
            raw["mounts"] = [*raw["mounts"], bind]
        return Config.from_dict({**raw, "hooks": hooks, **changes})
