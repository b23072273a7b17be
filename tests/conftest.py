"""Fixtures of all tests: factories whose containers end with the test, and the host's snapshot.

Tests that need root carry the marker ``root``; without root they are skipped by name, and the
summary counts them.
"""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runstate import DEVNULL, Config, Container, Factory
from runstate.linux.cgroups import layout
from runstate.transitions.attempt import Attempt
from tests import host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runstate import Status

_REASON = "needs root"
BACKENDS = ["process", pytest.param("linux", marks=pytest.mark.root)]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.geteuid() == 0:
        return
    for item in items:
        if item.get_closest_marker("root"):
            item.add_marker(pytest.mark.skip(reason=_REASON))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = [
        report
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple) and report.longrepr[2].endswith(_REASON)
    ]
    if skipped:
        terminalreporter.write_line(f"{len(skipped)} tests were skipped: they need root")


@pytest.fixture(scope="session")
def zygote() -> None:
    """The zygote, which lasts as long as the tests, has started and had something to do."""
    with tempfile.TemporaryDirectory(prefix="rs") as root:
        factory = Factory(root, "process")
        with factory.run(host.new_id(), Config.minimal(["true"])) as container:
            container.wait(10)
    # Each snapshot looks for garbage; all that pytest has loaded so far is none.
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def controllers() -> Iterator[None]:
    """Controllers that the tests hand down in version 2 are the host's root's again after them.

    A runtime leaves them: other containers may use them by then.
    """
    unified = layout.detect().unified
    control = f"{unified.mount_point}/cgroup.subtree_control" if unified is not None else ""
    if os.geteuid() != 0 or not control or not os.path.exists(control):
        yield
        return
    before = Path(control).read_text().split()
    yield
    for name in Path(control).read_text().split():
        if name not in before:
            Path(control).write_text(f"-{name}")


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """Each backend in turn."""
    name: str = request.param
    return name


@pytest.fixture
def root() -> Iterator[str]:
    """A root directory, below a short path: the way to a socket in it may have 107 bytes."""
    path = tempfile.mkdtemp(prefix="rs")
    yield path
    shutil.rmtree(path)


@pytest.fixture
def clean_host(
    root: str,
    zygote: None,  # noqa: ARG001 - it is no leak, so it must be there before
) -> Iterator[host.Snapshot]:
    """The host as it was before the test; after it, it must be the same."""
    before = host.take(root)
    yield before
    host.assert_same(before, root)


@pytest.fixture
def make_factory(
    root: str,
    clean_host: host.Snapshot,  # noqa: ARG001 - it must look when all is destroyed
) -> Iterator[Callable[..., Factory]]:
    """Makes factories on one root; what lives below it at the end is destroyed by force."""

    def make(backend: str = "process", **options: float) -> Factory:
        return Factory(root, backend, **options)

    yield make
    destroy_all(root)


def destroy_all(root: str) -> None:
    """Destroy every container below a root, whatever state it is in."""
    factory = Factory(root, "process")
    for container in factory.list():
        factory.destroy(container.id, force=True)


@pytest.fixture
def factory(make_factory: Callable[..., Factory], backend: str) -> Factory:
    """A factory of each backend in turn."""
    return make_factory(backend)


@pytest.fixture
def process_factory(make_factory: Callable[..., Factory]) -> Factory:
    """A factory of the backend that needs nothing."""
    return make_factory("process")


@pytest.fixture
def linux_factory(make_factory: Callable[..., Factory]) -> Factory:
    """A factory of the backend with namespaces and cgroups; for tests that are marked root."""
    return make_factory("linux")


def config_for(factory: Factory, *args: str) -> Config:
    """A config of this program that suits the factory's backend."""
    make = Config.default if "'linux'" in repr(factory) else Config.minimal
    return make(args or ("sleep", "1000"))


def attempt(
    container: Container, trigger: str, status: Status | None = None, **arguments: Any
) -> Attempt:
    """One try at a transition, from a status that need not be the container's."""
    lifecycle = container._lifecycle
    state = lifecycle.load()
    return Attempt(
        trigger,
        status or state.status,
        lifecycle.context(state, container.config),
        lifecycle.handlers(state),
        state,
        arguments,
    )


class Maker:
    """Makes containers of a factory, with ids of this test run's own, and no standard streams."""

    def __init__(self, factory: Factory) -> None:
        self.factory = factory
        # A test's frame can be part of a cycle with the exception that it has caught.
        self._made: list[Container] = []

    def config(self, *args: str) -> Config:
        """A config for this factory's backend."""
        return config_for(self.factory, *args)

    def created(self, *args: str, id: str | None = None) -> Container:  # noqa: A002
        """A container that waits to be started."""
        container = self.factory.create(
            id or host.new_id(),
            self.config(*args),
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=DEVNULL,
        )
        self._made.append(container)
        return container

    def running(self, *args: str, id: str | None = None) -> Container:  # noqa: A002
        """A container that runs."""
        container = self.created(*args, id=id)
        container.start()
        return container

    def paused(self) -> Container:
        """A container whose processes are frozen."""
        container = self.running()
        container.pause()
        return container

    def stopped(self) -> Container:
        """A container whose init was killed."""
        container = self.running()
        container.signal(9)
        container.wait(10)
        return container

    def in_status(self, status: str) -> Container:
        """A container in this status."""
        made: Container = getattr(self, status)()
        assert made.status == status
        return made


@pytest.fixture
def make(factory: Factory) -> Maker:
    """Makes containers of each backend in turn."""
    return Maker(factory)


@pytest.fixture
def make_process(process_factory: Factory) -> Maker:
    """Makes containers of the backend that needs nothing."""
    return Maker(process_factory)


@pytest.fixture
def make_linux(linux_factory: Factory) -> Maker:
    """Makes containers with namespaces and cgroups; for tests that are marked root."""
    return Maker(linux_factory)


@pytest.fixture(scope="session")
def rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small rootfs: a static busybox with its applets."""
    busybox = "/bin/busybox"
    if not os.path.exists(busybox):
        pytest.fail(f"{busybox} is missing; install Debian's busybox-static")
    top = tmp_path_factory.mktemp("rootfs")
    for name in ("bin", "proc", "sys", "dev", "tmp", "etc"):
        (top / name).mkdir()
    shutil.copy(busybox, top / "bin" / "busybox")
    # Its links lead to where it is on the host: /bin or, on a merged system, /usr/bin.
    (top / "usr").symlink_to(".")
    subprocess.run([busybox, "--install", "-s", top / "bin"], check=True)
    (top / "etc" / "passwd").write_text("root:x:0:0:root:/:/bin/sh\n")
    return top
