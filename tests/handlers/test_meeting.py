"""Init meets the host: a network handler that works on the host once the namespaces exist."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

import runstate
from runstate import DEVNULL, Factory
from runstate.errors import OperationFailed
from runstate.handlers import registry
from runstate.handlers.contract import HandlerContext, Substate
from runstate.handlers.network.interfaces import NetworkInterfaces
from tests import host

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.root


class Attaching(NetworkInterfaces):
    """Looks at init's network namespace while init waits for it."""

    fails = False
    seen: dict[str, object]

    def create(self, context: HandlerContext) -> Substate:
        context.descriptors["null"] = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        return super().create(context)

    def attaches(self, _context: HandlerContext) -> bool:
        return True

    def attach(self, context: HandlerContext) -> Substate:
        assert context.init is not None
        if self.fails:
            raise OperationFailed("attach", "it was told to fail")
        self.seen = {
            "network": os.readlink(f"/proc/{context.init.pid}/ns/net"),
            "root": os.stat(f"/proc/{context.init.pid}/root/etc").st_ino,
            "descriptor": context.descriptor("null"),
        }
        return Substate({"attached": True})

    def work(self, _context: HandlerContext) -> str:
        return ""

    def keeps(self, _context: HandlerContext) -> bool:
        return False

    def detach(self, _context: HandlerContext) -> None:
        """Nothing was made."""

    def destroy(self, _context: HandlerContext) -> Substate:
        return Substate({})


@pytest.fixture
def handler() -> Iterator[Attaching]:
    handler = Attaching()
    registry.register("network", "attaching", lambda: handler)
    yield handler
    registry._registered.pop(("network", "attaching"))
    registry._made.pop(("network", "attaching"), None)


@pytest.fixture
def attaching_factory(root, clean_host) -> Factory:  # noqa: ARG001 - the host is compared
    return Factory(root, runstate.Backend("attaching", "bundle", "attaching", "linux", "host"))


def test_the_handler_acts_in_init_s_namespaces_before_init_leaves_the_host(
    handler, attaching_factory
):
    config = runstate.Config.default(["true"])
    with attaching_factory.create(host.new_id(), config, stdin=DEVNULL) as container:
        assert handler.seen["network"] == os.readlink(f"/proc/{container.pid}/ns/net")
        assert handler.seen["network"] != os.readlink("/proc/self/ns/net")
        assert handler.seen["root"] == os.stat("/etc").st_ino
        assert handler.seen["descriptor"] == 0
        assert container.state.network.options == {"attached": True}
        steps = [step.name for step in container.history()[0].steps]
        assert steps[-2:] == [
            "attach the network by handler 'attaching'",
            "let init go on, by handler 'linux'",
        ]
        container.start()
        assert container.wait(10) == 0


def test_when_it_fails_nothing_is_left(handler, attaching_factory):
    handler.fails = True
    id_ = host.new_id()
    with pytest.raises(OperationFailed, match="attach: it was told to fail"):
        attaching_factory.create(id_, runstate.Config.default(["true"]), stdin=DEVNULL)
    assert attaching_factory.list() == []
