"""Bad input: a typed error that says what and why, nothing left behind, what was there intact."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from runstate import Backend, Config, Factory
from runstate.config import Mount
from runstate.engine.streams import DEVNULL
from runstate.errors import (
    ConfigInvalid,
    ContainerNotExists,
    HandlerMissing,
    IllegalTransition,
    InvalidIdFormat,
    OperationFailed,
    RuntimeStateError,
)
from tests import host
from tests.conftest import Maker, config_for, destroy_all

if TYPE_CHECKING:
    from collections.abc import Iterator

NULL: dict[str, Any] = {"stdin": DEVNULL, "stdout": DEVNULL, "stderr": DEVNULL}


def journal(container) -> bytes:
    with open(container._lifecycle.directory.journal.path, "rb") as file:
        return file.read()


@pytest.mark.parametrize("id_", ["no-such", "x" * 1000])
def test_an_unknown_id_is_named(make_process, root, id_):
    before = host.take(root)
    for ask in (
        make_process.factory.load,
        make_process.factory.destroy,
        make_process.factory.history,
        lambda id_: make_process.factory.destroy(id_, force=True),
    ):
        with pytest.raises(ContainerNotExists, match=id_):
            ask(id_)
    host.assert_same(before, root)


@pytest.mark.parametrize("id_", ["", "a/b", "..", "a\nb", "x" * 1025, "-ü", ".history/x"])
def test_a_bad_id_is_refused_wherever_it_is_used(make_process, root, id_):
    before = host.take(root)
    for ask in (
        make_process.factory.load,
        make_process.factory.destroy,
        make_process.factory.history,
        lambda id_: make_process.factory.create(id_, make_process.config()),
        lambda id_: make_process.factory.plan(make_process.config(), id=id_),
    ):
        with pytest.raises(InvalidIdFormat):
            ask(id_)
    host.assert_same(before, root)


def bundle(path: Path, text: bytes) -> Path:
    path.mkdir()
    (path / "config.json").write_bytes(text)
    return path


BAD_BUNDLES = {
    "not JSON": (b'{"ociVersion": "1.0.2",', "not JSON"),
    "not UTF-8": (b'{"ociVersion": "\xff"}', "UTF-8"),
    "not an object": (b"[1, 2]", r"\$"),
    "without a version": (b"{}", "ociVersion"),
    "a wrong type": (
        b'{"ociVersion": "1.0.2", "hostname": 7}',
        r"\$\.hostname",
    ),
    "no process": (b'{"ociVersion": "1.0.2", "root": {"path": "r"}}', r"\$\.process"),
}


@pytest.mark.parametrize(("text", "words"), BAD_BUNDLES.values(), ids=BAD_BUNDLES)
def test_a_bad_config_is_refused_with_its_place(make, root, tmp_path, text, words):
    before = host.take(root)
    with pytest.raises(ConfigInvalid, match=words) as caught:
        make.factory.create(host.new_id(), bundle(tmp_path / "bundle", text))
    assert caught.value.problems
    host.assert_same(before, root)


def test_a_missing_bundle_is_named(make, root, tmp_path):
    before = host.take(root)
    with pytest.raises(RuntimeStateError, match=str(tmp_path / "nowhere")):
        make.factory.create(host.new_id(), tmp_path / "nowhere")
    host.assert_same(before, root)


def test_a_bundle_whose_config_cannot_be_read_is_named(make, root, tmp_path):
    before = host.take(root)
    (tmp_path / "config.json").mkdir()
    with pytest.raises(RuntimeStateError, match=str(tmp_path)):
        make.factory.create(host.new_id(), tmp_path)
    host.assert_same(before, root)


@pytest.mark.root
def test_a_missing_rootfs_is_named(linux_factory, root, tmp_path):
    before = host.take(root)
    raw = Config.default(["true"], rootfs="nowhere").to_dict()
    path = bundle(tmp_path / "bundle", json.dumps(raw).encode())
    with pytest.raises(ConfigInvalid, match=rf"\$\.root\.path: '{path}/nowhere'"):
        linux_factory.create(host.new_id(), path)
    host.assert_same(before, root)


@pytest.mark.root
def test_a_rootfs_that_is_a_file_is_named(linux_factory, root, tmp_path):
    before = host.take(root)
    (tmp_path / "file").write_text("no directory")
    config = Config.default(["true"], rootfs=str(tmp_path / "file"))
    with pytest.raises(ConfigInvalid, match="is not a directory"):
        linux_factory.create(host.new_id(), config)
    host.assert_same(before, root)


@pytest.mark.root
def test_all_that_the_host_lacks_is_one_report_with_all_that_is_wrong(linux_factory, root):
    before = host.take(root)
    raw: dict[str, Any] = Config.default(["true"], rootfs="/no/rootfs").to_dict()
    raw["process"] |= {"cwd": "x", "commandLine": "x"}
    raw["mounts"] += [
        {"destination": "/a", "type": "bind"},
        {"destination": "/b", "source": "/no/source", "options": ["rbind"]},
    ]
    raw["linux"]["resources"]["unified"] = {"nonesuch.max": "1"}
    raw["vm"] = {"kernel": {"path": "/k"}}
    with pytest.raises(ConfigInvalid) as caught:
        linux_factory.create(host.new_id(), raw)
    last = len(raw["mounts"]) - 1
    assert {problem.partition(": ")[0] for problem in caught.value.problems} == {
        "$.process.cwd",
        "$.process.commandLine",
        f"$.mounts[{last - 1}].source",
        f"$.mounts[{last}].source",
        "$.root.path",
        '$.linux.resources.unified["nonesuch.max"]',
        "$.vm",
    }
    host.assert_same(before, root)


@pytest.mark.root
@pytest.mark.parametrize("source", ["/proc/self/ns/net", "/dev/null", "."])
def test_what_can_be_bound_is_not_taken_for_missing(linux_factory, source):
    config = Config.default(["true"])
    mounts = (*config.mounts, Mount("/x", source=source, options=("bind",)))
    steps, _, _ = linux_factory.plan(attrs.evolve(config, mounts=mounts))
    assert steps


def test_a_working_directory_that_is_missing_is_named(make_process, root):
    before = host.take(root)
    config = make_process.config("true")
    config = attrs.evolve(config, process=attrs.evolve(config.process, cwd="/no/such"))
    with pytest.raises(OperationFailed, match=r"/no/such.*ENOENT"):
        make_process.factory.create(host.new_id(), config)
    host.assert_same(before, root)


def test_an_unknown_backend_is_refused_with_those_that_there_are(root):
    with pytest.raises(HandlerMissing, match=r"'teleport'.*linux, process"):
        Factory(root, "teleport")


@pytest.mark.parametrize("room", ["fs", "network", "exec"])
def test_an_unknown_handler_is_refused_with_those_that_there_are(root, clean_host, room):
    names = {"fs": "none", "network": "none", "exec": "process", room: "teleport"}
    factory = Factory(root, Backend("odd", **names))
    with pytest.raises(HandlerMissing, match=f"find {room} handler 'teleport'.*here: "):
        factory.create(host.new_id(), Config.minimal(["true"]))
    host.assert_same(clean_host, root)


def test_what_is_asked_in_the_wrong_status_changes_nothing(make):
    container = make.running()
    written = journal(container)
    with pytest.raises(IllegalTransition, match=r"start container .* it is running"):
        container.start()
    with pytest.raises(IllegalTransition):
        container.resume()
    assert (container.status, journal(container)) == ("running", written)


@pytest.mark.parametrize(
    ("args", "words"), [(["no-such"], "no-such.*ENOENT"), (["/etc/hostname"], "/etc/hostname")]
)
def test_an_exec_that_cannot_be_leaves_the_container_running(make, root, args, words):
    container = make.running()
    before = host.take(root)
    with pytest.raises(OperationFailed, match=words):
        container.exec(args, stdin=DEVNULL)
    host.assert_same(before, root)
    assert container.status == "running"
    assert container.processes() == [container.pid]


# --- a root directory that cannot be written --------------------------------------------------


@pytest.fixture
def disk(clean_host: host.Snapshot) -> Iterator[Path]:  # noqa: ARG001 - unmount before it looks
    """A small file system of its own, for a root directory."""
    path = Path(tempfile.mkdtemp(prefix="rs"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", path], check=True)
    yield path
    subprocess.run(["mount", "-o", "remount,rw", path], check=True)
    (path / "ballast").unlink(missing_ok=True)
    destroy_all(str(path / "root"))
    subprocess.run(["umount", path], check=True)
    path.rmdir()


def fill(disk: Path, pages: int) -> None:
    """Leave so many pages free."""
    with open(disk / "ballast", "wb", buffering=0) as ballast:
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        ballast.write(b"\0" * (free - pages * 4096))
    assert os.statvfs(disk).f_bavail == pages


@pytest.mark.root
@pytest.mark.parametrize("pages", range(7))
@pytest.mark.parametrize("backend", ["process", "linux"])
def test_a_disk_that_is_full_at_any_moment_of_create_leaves_nothing(disk, backend, pages):
    factory = Factory(disk / "root", backend)
    make = Maker(factory)
    make.created().destroy(force=True)  # so that root and history are there
    before = host.take(str(disk / "root"))
    fill(disk, pages)
    container = None
    try:
        container = make.created()
    except RuntimeStateError as error:
        assert "ENOSPC" in error.detail()  # noqa: PT017 - how much room is enough, it decides
    if container is not None:
        container.destroy(force=True)
    assert factory.list() == []
    host.assert_same(before, str(disk / "root"))


@pytest.mark.root
@pytest.mark.parametrize("backend", ["process", "linux"])
def test_a_full_disk_leaves_a_running_container_as_it_was(disk, backend):
    make = Maker(Factory(disk / "root", backend))
    container = make.running()
    fill(disk, 0)
    pid = container.pid
    for action in (container.pause, lambda: container.exec(["sleep", "1000"], **NULL)):
        try:
            action()
        except RuntimeStateError as error:
            assert "ENOSPC" in error.detail()  # noqa: PT017 - the journal's last page may do
            assert container.status == "running"
        else:
            container.resume()
    assert (container.status, container.pid) == ("running", pid)
    assert len(container.processes()) == 1
    (disk / "ballast").unlink()
    container.pause()
    assert container.status == "paused"


@pytest.mark.root
@pytest.mark.parametrize("status", ["created", "running", "paused", "stopped"])
@pytest.mark.parametrize("backend", ["process", "linux"])
def test_a_full_disk_does_not_keep_a_container_from_being_destroyed(disk, backend, status):
    before = host.take(str(disk / "root"))
    container = Maker(Factory(disk / "root", backend)).in_status(status)
    fill(disk, 0)
    container.destroy(force=True)
    host.assert_same(before, str(disk / "root"))
    assert container.status == "absent"


@pytest.mark.root
@pytest.mark.parametrize("backend", ["process", "linux"])
def test_a_read_only_root_directory_is_refused_and_its_containers_are_intact(disk, backend):
    make = Maker(Factory(disk / "root", backend))
    container = make.running()
    before, written = host.take(str(disk / "root")), journal(container)
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    id_ = host.new_id()
    with pytest.raises(OperationFailed, match=rf"{id_}.*EROFS"):
        make.created(id=id_)
    for action in (container.pause, container.destroy, lambda: container.destroy(force=True)):
        with pytest.raises(RuntimeStateError):
            action()
    assert container.status == "running"
    assert [found.id for found in make.factory.list()] == [container.id]
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    host.assert_same(before, str(disk / "root"))
    assert journal(container) == written
    container.pause()
    assert container.status == "paused"


@pytest.mark.parametrize("kind", ["a file", "below a file"])
def test_a_root_that_is_no_directory_is_named(tmp_path, clean_host, root, kind):
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" if kind == "a file" else tmp_path / "file" / "root"
    factory = Factory(path, "process")
    with pytest.raises(OperationFailed, match=r"ENOTDIR|EEXIST"):
        factory.create(host.new_id(), config_for(factory, "true"), **NULL)
    host.assert_same(clean_host, root)
