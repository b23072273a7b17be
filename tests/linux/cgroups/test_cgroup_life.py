"""A cgroup's life on this host: made, filled, limited, measured, removed."""

from __future__ import annotations

import errno
import json
import os
import threading
import time

import pytest
from attrs import asdict

from runstate.errors import DeadlineExceeded, NotSupported, OperationFailed
from runstate.linux.cgroups import cgroup as module
from runstate.linux.cgroups import files
from runstate.linux.cgroups.cgroup import Cgroup
from runstate.linux.cgroups.figures import CgroupStats
from runstate.linux.cgroups.layout import detect
from runstate.linux.cgroups.paths import plan_paths
from runstate.linux.cgroups.tree import enable_controllers

pytestmark = pytest.mark.root
ALL_KINDS = pytest.mark.parametrize("kind", ["all", "legacy", "unified"])


def _read(path):
    with open(path) as file:
        return file.read().strip()


def _add_child(cgroup, name):
    """A sub-cgroup in each hierarchy, as the container itself may make one."""
    child = Cgroup({key: f"{path}/{name}" for key, path in cgroup.paths.items()})
    # Without controllers of version 2, which would let no process be above.
    Cgroup({key: path for key, path in child.paths.items() if key}).create()
    if "" in child.paths:
        os.makedirs(child.paths[""], exist_ok=True)
    return child


@ALL_KINDS
def test_a_process_lives_in_all_directories_and_nothing_is_left(make, spawn, leftovers, kind):
    cgroup = make(kind)
    assert not cgroup.exists()
    assert cgroup.create() == ()
    assert cgroup.exists()
    process = spawn()
    cgroup.attach(process.pid)
    assert cgroup.procs() == [process.pid]
    for directory in cgroup.directories:
        assert _read(f"{directory}/cgroup.procs") == str(process.pid)
    process.kill()
    process.wait()
    cgroup.remove()
    assert not cgroup.exists()
    assert leftovers() == []


@ALL_KINDS
def test_every_method_may_be_called_twice(make, leftovers, kind):
    cgroup = make(kind)
    cgroup.create()
    assert cgroup.create() == cgroup.directories
    for method in (cgroup.freeze, cgroup.thaw, cgroup.kill, cgroup.remove):
        method()
        method()
    cgroup.thaw()
    cgroup.kill()
    assert cgroup.procs() == []
    assert cgroup.frozen() is False
    assert leftovers() == []


def test_its_paths_survive_json(make):
    cgroup = make()
    assert Cgroup(json.loads(json.dumps(asdict(cgroup)))["paths"]) == cgroup


def test_without_paths_it_can_be_made_and_removed_but_not_kill_or_freeze():
    cgroup = Cgroup({})
    assert cgroup.create() == ()
    cgroup.attach(os.getpid())
    cgroup.apply({})
    assert cgroup.procs() == []
    assert cgroup.open_unified() is None
    assert not cgroup.exists()
    cgroup.remove()
    for method in (cgroup.kill, cgroup.freeze, cgroup.thaw):
        with pytest.raises(NotSupported):
            method()


def test_a_process_with_one_thread_attaches_itself(make, spawn, release):
    cgroup = make("legacy")
    cgroup.create()
    program = "import sys\nfor path in sys.argv[1:]: open(path, 'w').write('0')\nprint()\ninput()"
    process = spawn(program, *cgroup.self_attach_files)
    release(process)
    process.stdout.readline()
    for directory in cgroup.directories:
        assert _read(f"{directory}/cgroup.procs") == str(process.pid)


def test_the_unified_directory_can_be_opened_for_clone(make):
    cgroup = make("unified")
    cgroup.create()
    fd = cgroup.open_unified()
    try:
        assert os.path.samestat(os.fstat(fd), os.stat(cgroup.paths[""]))
    finally:
        os.close(fd)
    assert cgroup.self_attach_files == ()


def test_attaching_a_process_that_is_gone_says_so(make, spawn):
    cgroup = make()
    cgroup.create()
    process = spawn()
    process.kill()
    process.wait()
    with pytest.raises(OperationFailed, match=f"write {process.pid} to cgroup.procs") as caught:
        cgroup.attach(process.pid)
    assert caught.value.errno == errno.ESRCH


def test_a_process_joins_the_sub_cgroup_of_another_where_the_top_takes_none(make, spawn):
    cgroup = make("unified")
    if not detect().unified_controllers:
        pytest.skip("no controller to hand to children")
    cgroup.create()
    inner = _add_child(cgroup, "inner")
    init, late = spawn(), spawn()
    inner.attach(init.pid)
    controller = min(detect().unified_controllers)
    cgroup.apply({"unified": {"cgroup.max.depth": "5"}})
    root = os.path.dirname(os.path.dirname(cgroup.paths[""]))
    already = _read(f"{root}/cgroup.subtree_control").split()
    try:
        enable_controllers(cgroup.paths[""], frozenset({controller}))
        with pytest.raises(OperationFailed) as caught:
            cgroup.attach(late.pid)
        assert caught.value.errno == errno.EBUSY
        cgroup.attach(late.pid, beside=init.pid)
        assert sorted(inner.procs()) == sorted([init.pid, late.pid])
    finally:
        if controller not in already:
            for process in (init, late):
                process.kill()
                process.wait()
            cgroup.remove()
            with open(f"{root}/cgroup.subtree_control", "w") as file:
                file.write(f"-{controller}")


def test_a_process_joins_another_where_the_kernel_says_that_the_top_is_busy(
    make, spawn, monkeypatch
):
    # As above, for hosts without a controller that could make the kernel say so.
    cgroup = make("unified")
    cgroup.create()
    inner = _add_child(cgroup, "inner")
    init, late = spawn(), spawn()
    inner.attach(init.pid)
    top = f"{cgroup.paths['']}/cgroup.procs"

    def write_value(path, value):
        if path == top:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        files.write_value(path, value)

    monkeypatch.setattr(module, "write_value", write_value)
    with pytest.raises(OperationFailed, match="busy"):
        cgroup.attach(late.pid)
    with pytest.raises(OperationFailed, match="busy"):
        cgroup.attach(late.pid, beside=os.getpid())
    cgroup.attach(late.pid, beside=init.pid)
    assert sorted(inner.procs()) == sorted([init.pid, late.pid])


def test_creating_on_a_name_that_cannot_be_made_leaves_nothing_behind(make, leftovers):
    paths = dict(make("legacy").paths)
    last = list(paths)[-1]
    paths[last] = f"{os.path.dirname(paths[last])}/two\nlines"
    with pytest.raises(OperationFailed, match="make cgroup"):
        Cgroup(paths).create()
    assert leftovers() == []


def test_a_directory_outside_of_any_cgroup_file_system_is_refused(tmp_path):
    with pytest.raises(OperationFailed, match="no cgroup file system"):
        Cgroup({"": f"{tmp_path}/a/b"}).create()
    assert os.listdir(tmp_path) == []


@ALL_KINDS
def test_sub_cgroups_and_their_processes_are_listed_and_removed(make, spawn, leftovers, kind):
    cgroup = make(kind)
    cgroup.create()
    inner = _add_child(cgroup, "a/b")
    outer_process, inner_process = spawn(), spawn()
    cgroup.attach(outer_process.pid)
    inner.attach(inner_process.pid)
    assert sorted(cgroup.procs()) == sorted([outer_process.pid, inner_process.pid])
    cgroup.kill()
    cgroup.remove()
    assert leftovers() == []


@ALL_KINDS
def test_removal_waits_for_processes_that_are_dying(make, spawn, leftovers, kind):
    cgroup = make(kind)
    cgroup.create()
    for _ in range(5):
        cgroup.attach(spawn().pid)
    cgroup.kill()
    cgroup.remove()
    assert leftovers() == []


@ALL_KINDS
def test_removal_gives_up_at_its_deadline_and_names_the_processes(make, spawn, kind):
    cgroup = make(kind)
    cgroup.create()
    process = spawn()
    cgroup.attach(process.pid)
    start = time.monotonic()
    with pytest.raises(DeadlineExceeded, match=f"processes {process.pid} are still in it"):
        cgroup.remove(0.05)
    assert 0.05 <= time.monotonic() - start < 2
    assert cgroup.procs() == [process.pid]


@ALL_KINDS
def test_removal_is_woken_when_the_last_process_leaves(make, spawn, leftovers, kind):
    cgroup = make(kind)
    cgroup.create()
    process = spawn()
    cgroup.attach(process.pid)
    timer = threading.Timer(0.1, process.kill)
    timer.start()
    start = time.monotonic()
    cgroup.remove(30)
    timer.join()
    assert time.monotonic() - start < 5
    assert leftovers() == []


def test_a_parent_that_was_there_before_stays(top):
    layout = detect()
    parents = {hierarchy.mount_point + top for hierarchy in layout.legacy}
    if layout.unified:
        parents.add(layout.unified.mount_point + top)
    for parent in parents:
        os.mkdir(parent)
    cgroup = Cgroup(plan_paths(layout, f"{top}/made/web", "unused"))
    cgroup.create()
    cgroup.remove()
    for parent in parents:
        assert os.path.isdir(parent)
        assert not os.path.exists(f"{parent}/made")


def test_a_parent_goes_with_its_last_container_whoever_made_it(make, leftovers):
    first, second = make(name="a/b/1"), make(name="a/b/2")
    first.create()
    second.create()
    first.remove()
    assert second.exists()
    second.remove()
    assert leftovers() == []


def test_removal_goes_on_where_another_was_stopped(make, leftovers):
    cgroup = make(name="a/b/web")
    cgroup.create()
    for directory in cgroup.directories:
        os.rmdir(directory)
        os.rmdir(os.path.dirname(directory))
    cgroup.remove()
    assert leftovers() == []


def test_the_default_parent_comes_and_goes():
    layout = detect()
    cgroup = Cgroup(plan_paths(layout, None, f"test-{os.getpid()}"))
    try:
        cgroup.create()
    finally:
        cgroup.remove()
    assert not cgroup.exists()


def test_siblings_come_and_go_at_once_without_failing_or_leaking(make, leftovers):
    errors = []

    def churn(number):
        try:
            for turn in range(30):
                cgroup = make(name=f"shared/deep/{number}-{turn}")
                cgroup.create()
                cgroup.remove()
        except BaseException as error:  # noqa: BLE001 - threads cannot fail a test themselves
            errors.append(error)

    threads = [threading.Thread(target=churn, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert leftovers() == []


# --- limits and figures ---------------------------------------------------------------------


@pytest.fixture
def limited(make):
    cgroup = make("legacy")
    if not {"cpu", "memory", "pids", "cpuset"} <= cgroup.paths.keys():
        pytest.skip("the controllers are not in version 1 here")
    cgroup.create()
    return cgroup


MIB = 1 << 20


def test_limits_are_in_force_and_change_in_both_directions(limited):
    memory, cpu, pids = (limited.paths[name] for name in ("memory", "cpu", "pids"))
    for scale in (1, 8, 2, 16, 1):
        limited.apply(
            {
                "memory": {"limit": 16 * MIB * scale, "swap": 32 * MIB * scale},
                "cpu": {"shares": 100 * scale, "quota": 5000 * scale, "period": 10000 * scale},
                "pids": {"limit": 10 * scale},
            }
        )
        assert _read(f"{memory}/memory.limit_in_bytes") == str(16 * MIB * scale)
        assert _read(f"{memory}/memory.memsw.limit_in_bytes") == str(32 * MIB * scale)
        assert _read(f"{cpu}/cpu.shares") == str(100 * scale)
        assert _read(f"{cpu}/cpu.cfs_quota_us") == str(5000 * scale)
        assert _read(f"{cpu}/cpu.cfs_period_us") == str(10000 * scale)
        assert _read(f"{pids}/pids.max") == str(10 * scale)
    limited.apply({"memory": {"limit": -1}, "pids": {"limit": -1}, "cpu": {"quota": -1}})
    assert _read(f"{pids}/pids.max") == "max"
    assert _read(f"{cpu}/cpu.cfs_quota_us") == "-1"
    assert limited.stats().memory.limit is None


def test_a_period_that_the_old_quota_does_not_fit_is_set_after_the_new_quota(limited):
    limited.apply({"cpu": {"quota": 100000, "period": 100000}})
    inner = _add_child(limited, "inner")
    inner.apply({"cpu": {"quota": 100000, "period": 100000}})
    inner.apply({"cpu": {"quota": 20000, "period": 20000}})
    assert _read(f"{inner.paths['cpu']}/cpu.cfs_period_us") == "20000"
    assert _read(f"{inner.paths['cpu']}/cpu.cfs_quota_us") == "20000"


def test_a_cpuset_begins_with_what_its_parent_has(limited):
    inner = _add_child(limited, "a/b/c")
    for file in ("cpuset.cpus", "cpuset.mems"):
        assert _read(f"{inner.paths['cpuset']}/{file}") == _read(
            f"{limited.paths['cpuset']}/{file}"
        )
        assert _read(f"{inner.paths['cpuset']}/{file}")


def test_a_refused_write_names_value_file_and_cgroup(limited):
    with pytest.raises(OperationFailed) as caught:
        limited.apply({"cpu": {"quota": 1}})
    cpu = limited.paths["cpu"]
    assert str(caught.value) == (
        f"write 1 to cpu.cfs_quota_us of cgroup {cpu}: Invalid argument (EINVAL)"
    )


def test_a_memory_limit_below_what_is_in_use_says_how_much_that_is(limited, spawn, release):
    program = "data = bytearray(32 << 20)\nprint(flush=True)\ninput()"
    process = spawn(program)
    limited.attach(process.pid)
    release(process)
    process.stdout.readline()
    limited.apply({"memory": {"limit": 128 * MIB, "swap": 128 * MIB}})
    with pytest.raises(OperationFailed, match="bytes are in use") as caught:
        limited.apply({"memory": {"limit": 8 * MIB}})
    assert caught.value.errno == errno.EBUSY


def test_a_setting_of_a_controller_that_is_not_there_is_refused(make):
    cgroup = make("unified")
    if "memory" in detect().unified_controllers:
        pytest.skip("version 2 has the memory controller here")
    cgroup.create()
    with pytest.raises(NotSupported, match="does not have memory"):
        cgroup.apply({"memory": {"limit": 16 * MIB}})
    cgroup.apply({"pids": {"limit": -1}})


def test_limits_of_version_2_are_in_force(make, spawn, release):
    cgroup = make("unified")
    if not {"cpu", "memory", "pids"} <= detect().unified_controllers:
        pytest.skip("version 2 has no controllers for them here")
    cgroup.create()
    cgroup.apply(
        {
            "memory": {"limit": 64 * MIB, "swap": 96 * MIB, "reservation": 32 * MIB},
            "cpu": {"shares": 1024, "quota": 5000, "period": 10000},
            "pids": {"limit": 7},
        }
    )
    directory = cgroup.paths[""]
    for file, value in {
        "memory.max": str(64 * MIB),
        "memory.swap.max": str(32 * MIB),
        "memory.low": str(32 * MIB),
        "cpu.weight": "100",
        "cpu.max": "5000 10000",
        "pids.max": "7",
    }.items():
        assert _read(f"{directory}/{file}") == value
    stats = cgroup.stats()
    assert (stats.memory.limit, stats.pids.limit, stats.memory.oom_kills) == (64 * MIB, 7, 0)
    process = spawn("data = bytearray(16 << 20)\nprint(flush=True)\ninput()")
    cgroup.attach(process.pid)
    release(process)
    process.stdout.readline()
    with pytest.raises(OperationFailed, match="checkBeforeUpdate"):
        cgroup.apply({"memory": {"limit": 8 * MIB, "checkBeforeUpdate": True}})
    assert process.poll() is None


def test_controllers_are_handed_down_from_where_they_are(tmp_path):
    # Plain files in the place of the kernel's, for hosts whose version 2 has no controller.
    for directory, offered, enabled in (
        ("", "cpu memory pids", "pids"),
        ("a", "pids", ""),
        ("a/b", "", ""),
    ):
        (tmp_path / directory).mkdir(exist_ok=True)
        (tmp_path / directory / "cgroup.controllers").write_text(offered)
        (tmp_path / directory / "cgroup.subtree_control").write_text(enabled)
    enable_controllers(f"{tmp_path}/a/b", frozenset({"pids", "memory"}))
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+memory"
    assert (tmp_path / "a" / "cgroup.subtree_control").read_text() == "+memory +pids"
    assert (tmp_path / "a/b" / "cgroup.subtree_control").read_text() == "+memory +pids"
    with pytest.raises(NotSupported, match="does not have io"):
        enable_controllers(f"{tmp_path}/a/b", frozenset({"io"}))


def test_unified_settings_reach_the_kernel(make):
    cgroup = make("unified")
    cgroup.create()
    cgroup.apply({"unified": {"cgroup.max.depth": "7", "cgroup.max.descendants": "9"}})
    assert _read(f"{cgroup.paths['']}/cgroup.max.depth") == "7"
    assert _read(f"{cgroup.paths['']}/cgroup.max.descendants") == "9"


def test_figures_follow_what_processes_do(limited, spawn, release):
    limited.apply({"pids": {"limit": 20}, "memory": {"limit": 64 * MIB, "swap": 64 * MIB}})
    program = (
        "data = bytearray(16 << 20)\nn = 0\nwhile n < 200000: n += 1\nprint(flush=True)\ninput()"
    )
    process = spawn(program)
    limited.attach(process.pid)
    release(process)
    process.stdout.readline()
    stats = limited.stats()
    assert stats.pids.current == 1
    assert stats.pids.limit == 20
    assert stats.memory.limit == 64 * MIB
    assert 16 * MIB <= stats.memory.usage <= stats.memory.peak <= 64 * MIB
    assert stats.memory.anonymous >= 16 * MIB
    assert stats.cpu.total_ns > 1_000_000
    assert stats.memory.oom_kills == 0
    assert stats.cpu.throttled_periods == 0


def test_a_process_that_memory_ran_out_for_is_counted(limited, spawn, release):
    limited.apply({"memory": {"limit": 16 * MIB, "swap": 16 * MIB}})
    process = spawn("data = bytearray(256 << 20)")
    limited.attach(process.pid)
    release(process)
    assert process.wait(timeout=10) == -9
    assert limited.stats().memory.oom_kills == 1


def test_a_cgroup_that_is_gone_has_no_figures(make):
    for kind in ("legacy", "unified"):
        assert make(kind).stats() == CgroupStats()


def test_version_2_measures_processor_time_without_any_controller(make, spawn, release):
    cgroup = make("unified")
    cgroup.create()
    process = spawn("n = 0\nwhile n < 200000: n += 1\nprint(flush=True)\ninput()")
    cgroup.attach(process.pid)
    release(process)
    process.stdout.readline()
    assert cgroup.stats().cpu.total_ns > 1_000_000
