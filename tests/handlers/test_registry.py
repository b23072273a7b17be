"""Handlers and backends are found by name: ours, those of this process, those of other wheels."""

from __future__ import annotations

import sys
import textwrap

import pytest

from runstate import Backend, Config, Factory
from runstate.engine.streams import DEVNULL
from runstate.errors import HandlerMissing
from runstate.handlers import registry
from runstate.handlers.contract import ROOMS, Handler, HandlerContext, Substate
from tests import host

NULL = {"stdin": DEVNULL, "stdout": DEVNULL, "stderr": DEVNULL}
WHEEL = """
    from runstate.handlers.contract import Substate
    from runstate.handlers.registry import Backend

    class Recording:
        options_type = None

        def create(self, context):
            return Substate({"made": ["create"]})

        def run(self, context):
            made = context.substates["network"].options["made"]
            return Substate({"made": [*made, "run"]})

        def destroy(self, context):
            with open(context.bundle + "/destroyed", "w") as file:
                file.write(context.id)
            return Substate(None)

    BACKEND = Backend("recorded", "none", "recording", "process")
"""


@pytest.fixture(autouse=True)
def fresh_registry(monkeypatch):
    """What a test registers is for that test."""
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    monkeypatch.setattr(registry, "_made", {})
    monkeypatch.setattr(registry, "_BACKENDS", dict(registry._BACKENDS))


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """An installed distribution with a handler and a backend; its entry points."""
    site = tmp_path / "site"
    info = site / "recording-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "recording_wheel.py").write_text(textwrap.dedent(WHEEL))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: recording\nVersion: 1.0\n")
    entry_points = info / "entry_points.txt"
    entry_points.write_text(
        "[runstate.handlers.network]\nrecording = recording_wheel:Recording\n"
        "[runstate.backends]\nrecorded = recording_wheel:BACKEND\n"
    )
    monkeypatch.syspath_prepend(site)
    yield entry_points
    sys.modules.pop("recording_wheel", None)


@pytest.mark.parametrize(("room", "name"), list(registry._BUILTIN))
def test_a_handler_of_ours_keeps_the_contract(room, name):
    handler = registry.handler(room, name)
    assert isinstance(handler, Handler)
    assert room in ROOMS
    assert registry.handler(room, name) is handler


@pytest.mark.parametrize("name", ["linux", "process"])
def test_a_backend_of_ours_names_handlers_that_there_are(name):
    backend = registry.backend(name)
    names = backend.names(Config.default(["true"]))
    assert registry.handlers(names).names == names


class Counting:
    """Counts what it is asked for; its substate comes back in `destroy`."""

    options_type = None
    calls: list[tuple[str, object]]

    def __init__(self) -> None:
        self.calls = []

    def create(self, context: HandlerContext) -> Substate:
        self.calls.append(("create", sorted(context.substates)))
        return Substate({"count": 1})

    def run(self, context: HandlerContext) -> Substate:
        options = context.substates["network"].options
        self.calls.append(("run", dict(options)))
        return Substate({"count": options["count"] + 1})

    def destroy(self, context: HandlerContext) -> Substate:
        self.calls.append(("destroy", dict(context.substates["network"].options)))
        return Substate(None)


def test_a_registered_handler_gets_back_what_it_has_returned(make_factory, root):
    counting = Counting()
    registry.register("network", "counting", lambda: counting)
    factory = make_factory(Backend("counted", "none", "counting", "process"))
    container = factory.run(host.new_id(), Config.minimal(["sleep", "1000"]), **NULL)
    assert container.state.network.options == {"count": 2}
    Factory(root, "process").load(container.id).destroy(force=True)
    assert counting.calls == [
        ("create", ["fs"]),
        ("run", {"count": 1}),
        ("destroy", {"count": 2}),
    ]


def test_a_handler_that_raises_anything_is_undone(make_factory, root):
    class Broken(Counting):
        def run(self, _context: HandlerContext) -> Substate:
            raise LookupError("broken")

    broken = Broken()
    registry.register("network", "broken", lambda: broken)
    factory = make_factory(Backend("broken", "none", "broken", "process"))
    before = host.take(root)
    with pytest.raises(LookupError, match="broken"):
        factory.create(host.new_id(), Config.minimal(["true"]), **NULL)
    assert [call[0] for call in broken.calls][:2] == ["create", "destroy"]
    host.assert_same(before, root)


def test_a_registered_handler_goes_before_one_that_is_installed():
    registry.register("fs", "none", Counting)
    assert isinstance(registry.handler("fs", "none"), Counting)


def test_a_handler_cannot_be_registered_for_a_room_that_there_is_not():
    with pytest.raises(HandlerMissing, match="no room 'attic'"):
        registry.register("attic", "box", Counting)


def test_a_registered_backend_is_found_by_its_name(make_factory):
    registry.register_backend(Backend("mine", "none", "none", "process"))
    factory = make_factory("mine")
    container = factory.run(host.new_id(), Config.minimal(["sleep", "1000"]), **NULL)
    assert container.state.backend == "mine"


def test_a_handler_of_another_wheel_is_found_by_its_entry_point(
    make_factory,
    tmp_path,
    wheel,  # noqa: ARG001
):
    factory = make_factory("recorded")
    config = Config.minimal(["sleep", "1000"])
    container = factory.run(host.new_id(), config, bundle=tmp_path, **NULL)
    assert container.state.network.handler == "recording"
    assert container.state.network.options == {"made": ["create", "run"]}
    container.destroy(force=True)
    assert (tmp_path / "destroyed").read_text() == container.id


def test_a_container_whose_wheel_is_gone_says_which_handler_is_missing(
    make_factory, tmp_path, wheel, root
):
    factory = make_factory("recorded")
    config = Config.minimal(["sleep", "1000"])
    container = factory.run(host.new_id(), config, bundle=tmp_path, **NULL)
    installed = wheel.read_text()
    wheel.write_text("")
    registry._made.clear()
    with pytest.raises(HandlerMissing) as caught:
        Factory(root, "process").load(container.id)
    assert "network handler 'recording'" in str(caught.value)
    assert "entry point" in str(caught.value)
    with pytest.raises(HandlerMissing, match="'recording'"):
        container.destroy(force=True)
    assert len(factory.list()) == 1
    wheel.write_text(installed)
    registry._made.clear()
    assert container.status == "running"


def test_a_wheel_that_cannot_be_imported_is_named(wheel):
    wheel.write_text("[runstate.handlers.fs]\nbad = recording_wheel:Nothing\n")
    with pytest.raises(HandlerMissing, match=r"recording_wheel:Nothing.*of recording"):
        registry.handler("fs", "bad")


def test_an_unknown_handler_lists_those_that_there_are():
    with pytest.raises(HandlerMissing, match=r"fs handler 'attic'.*bundle, host, none"):
        registry.handler("fs", "attic")
