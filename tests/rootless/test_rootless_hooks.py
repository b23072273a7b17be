"""An ordinary user's hooks: on the host as the user, inside as the root of the user namespace."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.hooking import POINTS, Notes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.rootless.conftest import User


@pytest.fixture
def notes(user: User) -> Iterator[Notes]:
    """Where the user's hooks write down what they find."""
    directory = Path(user.home) / "notes"
    directory.mkdir()
    yield Notes(directory)
    shutil.rmtree(directory)


def test_all_run_each_in_its_namespaces(user: User, notes: Notes) -> None:
    hooks = {point: [notes.hook(point)] for point in POINTS}
    told = user.script(f"""
config = Config.default(["sleep", "1000"]).to_dict()
bind = {{"destination": {str(notes.directory)!r}, "source": {str(notes.directory)!r},
        "type": "bind", "options": ["bind"]}}
config = {{**config, "mounts": [*config["mounts"], bind], "hooks": {hooks!r}}}
names = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup")
with factory.run(new_id(), config) as container:
    pid = container.pid
    tell(pid)
    tell({{n: os.readlink(f"/proc/{{pid}}/ns/{{n}}") for n in names}})
tell({{n: os.readlink(f"/proc/self/ns/{{n}}") for n in names}})
""")

    pid, inits, ours = told
    assert notes.order == list(POINTS)
    for point in POINTS:
        inside = point in ("createContainer", "startContainer")
        assert notes.namespaces(point) == (inits if inside else ours), point
        assert notes.text(point, "uid") == ("0\n" if inside else f"{user.uid}\n"), point
        if point != "poststop":
            assert notes.state(point)["pid"] == (1 if inside else pid), point


@pytest.mark.parametrize("point", POINTS[:5])
def test_a_failing_one_leaves_nothing_behind(user: User, point: str) -> None:
    hook = {"path": "/bin/busybox", "args": ["sh", "-c", "echo oops >&2; exit 3"]}
    told = user.script(f"""
config = Config.default(["sleep", "1000"]).to_dict()
config["hooks"] = {{{point!r}: [{hook!r}]}}
try:
    factory.run(new_id(), config)
except HookFailed as error:
    tell(str(error))
tell(len(factory.list()))
""")

    words = f"run the hook {point}[0] /bin/busybox: exited with status 3; its stderr: oops"
    assert told == [words, 0]
