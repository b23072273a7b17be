"""Time namespaces: clocks that stand elsewhere, for init and for whoever joins it."""

from __future__ import annotations

import os
import time

import pytest

from runstate.errors import ConfigInvalid
from tests.namespaces.conftest import link, links, root_map, says
from tests.namespaces.test_joining import path

pytestmark = pytest.mark.root

DAY = 86_400
CLOCKS = {"monotonic": time.CLOCK_MONOTONIC, "boottime": time.CLOCK_BOOTTIME}
# What a clock says inside, asked of the kernel by Python, which only the host's root has.
ASK = "import time; print(time.clock_gettime(time.CLOCK_MONOTONIC), time.clock_gettime(7))"


def with_clocks(config, **offsets):
    config["linux"]["timeOffsets"] = offsets
    return config


def uptime(container):
    """The clock of boot time (proc_uptime(5))."""
    return float(says(container, "cat", "/proc/uptime").split()[0])


@pytest.mark.parametrize("user", [False, True], ids=["", "in a user namespace"])
def test_both_clocks_are_set_on_and_back(make_in, user):
    paths = {"user": None} if user else {}
    config = make_in.config(time=None, **paths)
    if user:
        config["linux"] |= root_map()
    back = int(time.clock_gettime(time.CLOCK_MONOTONIC) // 2)
    container = make_in.run(
        with_clocks(
            config,
            boottime={"secs": 3 * DAY, "nanosecs": 500_000_000},
            monotonic={"secs": -back},
        )
    )
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    inside = uptime(container)
    after = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before - 0.01 <= inside - 3 * DAY - 0.5 <= after + 0.01
    with open(f"/proc/{container.pid}/timens_offsets") as file:
        assert [line.split() for line in file] == [
            ["monotonic", str(-back), "0"],
            ["boottime", str(3 * DAY), "500000000"],
        ]
    # Init itself is in it, and not only its children.
    assert link("time", container.pid) != link("time")
    assert link("time", container.pid) == os.readlink(f"/proc/{container.pid}/ns/time_for_children")


def test_a_program_reads_its_own_clocks_by_clock_gettime(make_linux, tmp_path):
    config = make_linux.config("python3", "-c", f"{ASK}\nopen('/told').close()").to_dict()
    config["linux"]["namespaces"].append({"type": "time"})
    with_clocks(config, monotonic={"secs": 5 * DAY}, boottime={"secs": 7 * DAY})
    with open(tmp_path / "told", "w+") as told:
        from tests import host

        container = make_linux.factory.create(host.new_id(), config, stdout=told)
        before = [time.clock_gettime(clock) for clock in CLOCKS.values()]
        container.start()
        container.wait(20)
        after = [time.clock_gettime(clock) for clock in CLOCKS.values()]
        told.seek(0)
        monotonic, boottime = map(float, told.read().split())
    assert before[0] <= monotonic - 5 * DAY <= after[0]
    assert before[1] <= boottime - 7 * DAY <= after[1]


def test_without_offsets_the_clocks_are_the_hosts(make_in):
    container = make_in.run(make_in.config(time=None))
    assert link("time", container.pid) != link("time")
    assert abs(uptime(container) - time.clock_gettime(time.CLOCK_BOOTTIME)) < 5


def test_who_joins_has_the_same_clocks(make_in):
    target = make_in.run(with_clocks(make_in.config(time=None), boottime={"secs": 9 * DAY}))
    container = make_in.run(make_in.config(time=path(target, "time")))
    assert links(container.pid)["time"] == links(target.pid)["time"]
    assert uptime(container) > 9 * DAY


@pytest.mark.parametrize("secs", [-(10**9), 2**62, -(2**63), 2**63 - 1])
def test_a_clock_before_0_or_after_the_kernels_end_of_time_is_refused(make_in, secs):
    config = with_clocks(make_in.config(time=None), monotonic={"secs": secs})
    with pytest.raises(ConfigInvalid) as caught:
        make_in.create(config)
    assert "$.linux.timeOffsets.monotonic.secs: expected from -" in str(caught.value)
    assert f"got {secs}" in str(caught.value)


def test_offsets_for_a_joined_one_are_refused(make_in):
    target = make_in.run(make_in.config(time=None))
    config = with_clocks(make_in.config(time=path(target, "time")), monotonic={"secs": 1})
    with pytest.raises(ConfigInvalid, match=r"\$\.linux\.timeOffsets: .* that is joined"):
        make_in.create(config)
