"""rootfsPropagation and the propagation of mounts: which mounts are seen where."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.mounts.conftest import bind, parse_mountinfo

pytestmark = pytest.mark.root

ALL = [prefix + name for name in ("private", "slave", "shared", "unbindable")
       for prefix in ("", "r")]  # fmt: skip


@pytest.fixture
def volume(place, host_mounts):
    """A mount of the host's that is shared, as those of a host with systemd are."""
    path = place / "volume"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "volume", path], check=True)
    host_mounts.append(str(path))
    subprocess.run(["mount", "--make-shared", path], check=True)
    for name in ("inside", "outside"):
        (path / name).mkdir()
    return path


def mounted_on_host(path):
    return str(path) in parse_mountinfo(Path("/proc/self/mountinfo").read_text())


def from_within(container, path):
    """Make a mount in the container."""
    container.exec(["mount", "-t", "tmpfs", "mine", path], check=True)


def from_outside(path, host_mounts):
    """Make a mount on the host."""
    subprocess.run(["mount", "-t", "tmpfs", "theirs", path], check=True)
    host_mounts.append(str(path))


def seen_within(container):
    done = container.exec(["cat", "/proc/self/mountinfo"], capture_output=True, text=True)
    return parse_mountinfo(done.stdout)


@pytest.mark.parametrize("propagation", ALL)
def test_the_root_has_the_propagation_that_is_asked_for(boxes, propagation):
    with boxes.running(linux={"rootfsPropagation": propagation}) as container:
        found = seen_within(container)
        plain = propagation.removeprefix("r")
        wanted = {"shared": {"shared"}, "unbindable": {"unbindable"}}.get(plain, set())
        assert found["/"].propagation == wanted
        below = wanted if propagation in ("rshared", "runbindable") else set()
        assert found["/proc"].propagation == below


@pytest.mark.parametrize("propagation", [*ALL, None])
def test_what_is_mounted_in_the_rootfs_is_never_mounted_on_the_host(
    boxes, volume, own_rootfs, propagation, host_mounts
):
    # The rootfs is on a shared mount, and is one itself.
    subprocess.run(["cp", "-a", own_rootfs, volume / "rootfs"], check=True)
    subprocess.run(["mount", "--bind", volume / "rootfs", volume / "rootfs"], check=True)
    host_mounts.append(str(volume / "rootfs"))
    boxes.rootfs = volume / "rootfs"
    linux = {"rootfsPropagation": propagation} if propagation else {}
    before = Path("/proc/self/mountinfo").read_text()
    with boxes.running(linux=linux) as container:
        from_within(container, "/tmp")
        assert Path("/proc/self/mountinfo").read_text() == before


def test_the_default_root_is_a_slave_of_the_hosts(boxes, volume, own_rootfs, host_mounts):
    subprocess.run(["cp", "-a", own_rootfs, volume / "rootfs"], check=True)
    boxes.rootfs = volume / "rootfs"
    with boxes.running() as container:
        assert seen_within(container)["/"].propagation == {"master"}
        from_outside(volume / "rootfs" / "tmp", host_mounts)
        assert seen_within(container)["/tmp"].source == "theirs"


def test_a_private_root_sees_nothing_of_the_host(boxes, volume, own_rootfs, host_mounts):
    subprocess.run(["cp", "-a", own_rootfs, volume / "rootfs"], check=True)
    boxes.rootfs = volume / "rootfs"
    with boxes.running(linux={"rootfsPropagation": "private"}) as container:
        from_outside(volume / "rootfs" / "tmp", host_mounts)
        assert "/tmp" not in seen_within(container)


# --- volumes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("of_root", ["shared", "rshared"])
def test_a_shared_volume_shows_mounts_both_ways(boxes, volume, of_root, host_mounts):
    mounts = [bind(volume, "/x", "rbind", "rshared")]
    with boxes.running(mounts=mounts, linux={"rootfsPropagation": of_root}) as container:
        from_within(container, "/x/inside")
        assert mounted_on_host(volume / "inside")
        host_mounts.append(str(volume / "inside"))
        from_outside(volume / "outside", host_mounts)
        assert seen_within(container)["/x/outside"].source == "theirs"


@pytest.mark.parametrize("of_root", ["slave", "rslave", None])
def test_a_slave_volume_shows_the_hosts_mounts_alone(boxes, volume, of_root, host_mounts):
    mounts = [bind(volume, "/x", "rbind", "rslave")]
    linux = {"rootfsPropagation": of_root} if of_root else {}
    with boxes.running(mounts=mounts, linux=linux) as container:
        from_within(container, "/x/inside")
        assert not mounted_on_host(volume / "inside")
        from_outside(volume / "outside", host_mounts)
        assert seen_within(container)["/x/outside"].source == "theirs"


@pytest.mark.parametrize("of_root", ["shared", "rslave", "private", None])
def test_a_private_volume_shows_nothing_either_way(boxes, volume, of_root, host_mounts):
    mounts = [bind(volume, "/x", "rbind", "rprivate")]
    linux = {"rootfsPropagation": of_root} if of_root else {}
    with boxes.running(mounts=mounts, linux=linux) as container:
        from_within(container, "/x/inside")
        assert not mounted_on_host(volume / "inside")
        from_outside(volume / "outside", host_mounts)
        assert "/x/outside" not in seen_within(container)


def test_a_shared_volume_is_the_hosts_only_where_the_root_is_shared(boxes, volume):
    mounts = [bind(volume, "/x", "rbind", "rshared")]
    with boxes.running(mounts=mounts) as container:
        assert seen_within(container)["/x"].propagation == {"shared", "master"}
        from_within(container, "/x/inside")
        assert not mounted_on_host(volume / "inside")


def test_propagation_is_applied_in_its_order(boxes, volume):
    mounts = [bind(volume, "/x", "rbind", "rslave", "rshared")]
    with boxes.running(mounts=mounts, linux={"rootfsPropagation": "shared"}) as container:
        assert seen_within(container)["/x"].propagation == {"shared", "master"}
    assert not mounted_on_host(volume / "inside")


def test_a_new_file_system_has_its_propagation_too(boxes):
    mount = {"destination": "/x", "type": "tmpfs", "source": "tmpfs",
             "options": ["mode=755", "unbindable"]}  # fmt: skip
    assert boxes.mounts(mounts=[mount])["/x"].propagation == {"unbindable"}


def test_in_a_user_namespace_a_shared_root_stays_the_containers(user_boxes, volume):
    mounts = [bind(volume, "/x", "rbind", "rshared")]
    linux = {**user_boxes.base["linux"], "rootfsPropagation": "rshared"}
    with user_boxes.running(mounts=mounts, linux=linux) as container:
        from_within(container, "/x/inside")
        assert not mounted_on_host(volume / "inside")
