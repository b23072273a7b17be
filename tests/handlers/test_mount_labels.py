"""linux.mountLabel: what would be given to the kernel, for no host of the tests has SELinux."""

from __future__ import annotations

from runstate.config import Config
from runstate.handlers.contract import HandlerContext
from runstate.handlers.fs.mounts import compile_mounts

LABEL = "system_u:object_r:container_file_t:s0:c1,c2"


def test_every_file_system_that_can_has_the_label_in_its_data():
    config = Config.default(["true"]).to_dict()
    config["linux"]["mountLabel"] = LABEL
    config["mounts"] = [
        {"destination": "/proc", "type": "proc"},
        {"destination": "/sys", "type": "sysfs"},
        {"destination": "/a", "type": "tmpfs", "options": ["nosuid", "mode=755"]},
        {"destination": "/b", "type": "mqueue"},
        {"destination": "/c", "type": "tmpfs"},
        {"destination": "/d", "source": "/d", "options": ["bind"]},
    ]
    context = HandlerContext("id", "/nowhere", "/", Config.from_dict(config))
    compiled, _ = compile_mounts(context)
    data = {op.arguments[1]: op.describe() for op in compiled}
    quoted = f'context="{LABEL}"'
    assert data["/a"].endswith(f"data 'mode=755,{quoted}'")
    assert data["/b"].endswith(f"data '{quoted}'")
    assert f"data '{quoted}'" in data["/c"]
    for target in ("/proc", "/sys", "/d"):
        assert "context" not in data[target]
