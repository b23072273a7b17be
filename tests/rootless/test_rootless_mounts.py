"""Mounts of an ordinary user's container, in a user namespace of its own."""

from __future__ import annotations

_SAYS = """
def says(script, mounts=(), **linux):
    config = Config.default(["sh", "-c", script], rootfs="host", network=NETWORK).to_dict()
    config["linux"].pop("seccomp", None)
    config["linux"].update(linux)
    config["mounts"] += mounts
    for mount in config["mounts"]:
        if mount["destination"] == "/sys":
            mount.update(type="sysfs", source="sysfs", options=["nosuid"])
    with factory.run(new_id(), config, stdin=-3, stdout=-1, stderr=-2) as container:
        text = container.stdout.read().decode()
        assert container.wait(20) == 0, text
        return text
"""


def test_options_do_what_they_do_for_root(user):
    source = f"NETWORK = True{_SAYS}"
    source += """
os.makedirs("data/below", exist_ok=True)
with open("data/file", "w") as file:
    file.write("text")
here = os.path.abspath("data")
mounts = [
    {"destination": "/tmp/a", "source": here, "options": ["rbind", "rro", "nosuid"]},
    {"destination": "/tmp/b", "type": "tmpfs", "source": "t", "options": ["size=64k", "ro"]},
    {"destination": "/tmp/c", "source": here, "options": ["bind"]},
    {"destination": "/tmp/c", "type": "tmpfs", "source": "t", "options": ["tmpcopyup"]},
]
script = (
    "cat /tmp/a/file; ! touch /tmp/a/x /tmp/b/x; cat /tmp/c/file; echo mine >/tmp/c/file;"
    " grep tmp/ /proc/mounts"
)
tell(says(script, mounts))
tell(read("data/file"))
tell(says("cat /proc/version; stat -c %F /proc/version", maskedPaths=["/proc/version"]))
"""
    first, data, second = user.script(source)
    assert first.startswith("text")
    assert first.count("text") == 2
    assert first.count("Read-only file system") == 2
    assert "/tmp/a " in first
    assert "ro,nosuid" in first
    assert data == "text"
    assert second == "character special file\n"


def test_without_a_network_of_its_own_sysfs_is_the_hosts_read_only(user):
    source = f"NETWORK = False{_SAYS}"
    source += """
tell(says("ls /sys/class/net; ! touch /sys/x; grep ' /sys sysfs' /proc/mounts"))
tell(sorted(os.listdir("/sys/class/net")))
"""
    said, interfaces = user.script(source)
    assert set(interfaces) <= set(said.split())
    assert "ro,nosuid,nodev,noexec" in said


def test_mapped_ids_are_refused_before_anything_is_made(user):
    source = f"NETWORK = True{_SAYS}"
    source += """
mount = {"destination": "/tmp/a", "source": "/etc", "options": ["rbind", "idmap"]}
try:
    says("true", [mount])
except ConfigInvalid as error:
    tell(str(error))
"""
    assert "uidMappings: expected none, for only root may map" in user.script(source)
    assert user.leftovers() == {"files": [], "processes": [], "mounts": []}
