"""Annotations, host and domain name: carried into the state, and seen from within."""

from __future__ import annotations

import json
import os

import attrs
import pytest

from runstate.config import Namespace
from tests import host

LABELS = {
    "org.example.owner": "somebody",
    "empty": "",
    "naïve \N{SNOWMAN} key": 'a "value"\nof two lines',
    "long": "x" * 100_000,
}


def test_annotations_are_in_the_state_as_long_as_the_container_lives(make, root):
    config = attrs.evolve(make.config(), annotations=LABELS)
    with make.factory.create(host.new_id(), config) as container:
        assert container.state.annotations == LABELS
        container.start()
        again = make.factory.load(container.id)
        assert again.state.annotations == again.config.annotations == LABELS
        with open(f"{root}/{container.id}/state.json", encoding="utf-8") as file:
            assert json.load(file)["config"]["annotations"] == LABELS
        container.signal(9)
        container.wait(10)
        assert make.factory.load(container.id).state.annotations == LABELS


def test_without_annotations_the_state_has_none(make):
    assert make.created().state.annotations == {}


def names_within(container):
    done = container.exec(
        ["cat", "/proc/sys/kernel/hostname", "/proc/sys/kernel/domainname"],
        capture_output=True,
        text=True,
    )
    return done.stdout.splitlines()


@pytest.mark.root
@pytest.mark.parametrize(
    ("hostname", "domainname"),
    [
        ("box", "example.org"),
        ("h" * 64, "d" * 64),
        ("Not_a.DNS name", "\N{SNOWMAN}"),
    ],
)
def test_a_container_has_its_own_host_and_domain_name(make_linux, hostname, domainname):
    before = os.uname()
    config = attrs.evolve(make_linux.config(), hostname=hostname, domainname=domainname)
    with make_linux.factory.run(host.new_id(), config) as container:
        assert names_within(container) == [hostname, domainname]
    assert os.uname() == before


@pytest.mark.root
@pytest.mark.parametrize("empty", [None, ""])
def test_a_name_that_nobody_asked_for_stays_the_hosts(make_linux, empty):
    config = attrs.evolve(make_linux.config(), hostname=empty, domainname=empty)
    with make_linux.factory.run(host.new_id(), config) as container:
        assert names_within(container)[0] == os.uname().nodename


@pytest.mark.root
def test_without_an_own_namespace_the_names_are_the_hosts(make_linux):
    config = make_linux.config()
    assert config.linux is not None
    shared = tuple(n for n in config.linux.namespaces if n != Namespace("uts"))
    config = attrs.evolve(
        config, hostname=None, linux=attrs.evolve(config.linux, namespaces=shared)
    )
    with make_linux.factory.run(host.new_id(), config) as container:
        assert names_within(container)[0] == os.uname().nodename
