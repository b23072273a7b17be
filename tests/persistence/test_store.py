from __future__ import annotations

import os
import stat
import subprocess
import time
from typing import TYPE_CHECKING

import attrs
import pytest

from runstate.errors import (
    ContainerNotExists,
    IdInUse,
    InvalidIdFormat,
    OperationFailed,
    StateInvalid,
)
from runstate.persistence.files import remove_tree
from runstate.states.state import SavedSubstate
from runstate.states.status import Status
from tests.persistence.samples import state_of

if TYPE_CHECKING:
    from runstate.persistence.store import Store


def made(store: Store, container_id: str = "web"):
    """A container that has been created."""
    directory = store.reserve(container_id)
    directory.journal.append("begin", trigger="create", source="absent", dest="created", plan=[])
    directory.save(state_of(container_id))
    directory.journal.append("commit", status="created", ms=1)
    directory.lock.release()
    return directory


def entries(store: Store) -> list[str]:
    return sorted(os.listdir(store.root))


# --- reserving ----------------------------------------------------------------------------


def test_a_store_touches_nothing_until_a_container_is_made(store):
    assert store.ids() == []
    assert store.sweep() == []
    assert not os.path.exists(store.root)


def test_a_reserved_directory_has_its_lock_and_it_is_held(store, worker):
    directory = store.reserve("web")
    assert directory.path == f"{store.root}/web"
    assert directory.lock.held
    other = worker(
        """
from runstate.persistence.locks import ContainerLock
try: ContainerLock(args[0], "web").acquire(0, "start")
except Exception as error: say(type(error).__name__)
""",
        directory.path,
    )
    assert other.says() == "ContainerBusy"


def test_what_is_only_reserved_is_no_container_for_others(store):
    store.reserve("web")
    assert store.ids() == []
    with pytest.raises(ContainerNotExists):
        store.open("web")


def test_an_id_is_in_use_from_its_reservation_on(store):
    directory = store.reserve("web")
    for _ in range(2):
        with pytest.raises(IdInUse, match="'web'"):
            store.reserve("web")
        directory.save(state_of())
        directory.lock.release()
    assert entries(store) == ["web"]


@pytest.mark.parametrize("obstacle", ["file", "symlink", "someone's directory"])
def test_what_is_not_ours_is_never_replaced(store, obstacle, tmp_path):
    os.mkdir(store.root)
    path = f"{store.root}/web"
    if obstacle == "file":
        open(path, "w").close()
    elif obstacle == "symlink":
        os.symlink(tmp_path, path)
    else:
        os.mkdir(path)
        open(f"{path}/thesis.tex", "w").close()
    before = os.lstat(path)
    with pytest.raises(IdInUse):
        store.reserve("web")
    store.sweep()
    assert os.path.samestat(os.lstat(path), before)
    assert entries(store) == ["web"]
    assert store.ids() == []


def test_an_empty_directory_of_the_name_is_taken(store):
    os.makedirs(f"{store.root}/web")
    assert store.reserve("web").lock.held


@pytest.mark.parametrize("name", ["", "..", "a/b", ".history"])
def test_only_ids_can_be_reserved_and_opened(store, name):
    for operation in (store.reserve, store.open):
        with pytest.raises(InvalidIdFormat):
            operation(name)


def test_of_eight_processes_that_want_an_id_exactly_one_gets_it(store, worker):
    os.mkdir(store.root)
    code = """
from runstate.errors import IdInUse
store = Store(args[0])
say("ready"); hear()
kept = []
for number in range(25):
    try: kept.append(store.reserve(f"c{number}"))
    except IdInUse: pass
say(" ".join(directory.id for directory in kept)); hear()
"""
    workers = [worker(code, store.root) for _ in range(8)]
    assert [each.says() for each in workers] == ["ready"] * 8
    for each in workers:
        each.tell()
    won = [name for each in workers for name in each.says().split()]
    assert sorted(won) == sorted(f"c{number}" for number in range(25))
    assert entries(store) == sorted(won)


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
def test_modes_do_not_depend_on_the_umask(store, umask):
    before = os.umask(umask)
    try:
        directory = store.reserve("web")
        directory.save(state_of())
    finally:
        os.umask(before)
    modes = [stat.S_IMODE(os.stat(path).st_mode)
             for path in (store.root, directory.path, f"{directory.path}/state.json")]  # fmt: skip
    assert modes == [0o711, 0o700, 0o600]


# --- finding ------------------------------------------------------------------------------


def test_containers_are_listed_in_order_and_found_by_id(store):
    for name in ("web", "db", ".cache"):
        made(store, name)
    assert store.ids() == [".cache", "db", "web"]
    assert store.open("db").load().id == "db"
    with pytest.raises(ContainerNotExists, match=r"'mail' does not exist in /"):
        store.open("mail")


def test_an_interrupted_create_is_found_for_it_has_to_be_undone(store):
    directory = store.reserve("web")
    directory.journal.append("begin", trigger="create", source="absent", dest="created", plan=[])
    directory.lock.release()
    assert store.ids() == ["web"]
    found = store.open("web")
    assert found.journal.pending() is not None
    with pytest.raises(ContainerNotExists):
        found.load()


def test_a_long_id_is_an_id_like_any_other(store):
    one, other = "x" * 1023 + "a", "x" * 1023 + "b"
    for name in (one, other):
        assert made(store, name).load().id == name
    assert store.ids() == [one, other]
    assert store.open(one).load().id == one
    with pytest.raises(IdInUse):
        store.reserve(other)
    store.open(one).retire()
    assert store.ids() == [other]
    assert len(store.history.find(one)) == 1
    assert store.history.find(other) == []


def test_a_long_id_is_known_even_if_its_state_cannot_be_read(store):
    name = "y" * 300
    directory = made(store, name)
    with open(f"{directory.path}/state.json", "w") as file:
        file.write("{")
    assert store.ids() == [name]


# --- loading and saving -------------------------------------------------------------------


def test_what_is_saved_is_loaded_by_everyone(store):
    directory = made(store)
    state = attrs.evolve(state_of(), status=Status.PAUSED)
    directory.save(state)
    assert directory.load() == store.open("web").load() == state


def test_an_unchanged_file_is_not_read_again(store, monkeypatch):
    made(store)
    directory = store.open("web")
    first = directory.load()
    monkeypatch.setattr(os, "open", None)
    assert directory.load() is first


def test_what_another_saves_is_noticed_however_alike_and_however_soon(store):
    ours = made(store)
    theirs = store.open("web")
    for number in range(500):
        state = state_of(status=(Status.CREATED, Status.RUNNING, Status.STOPPED)[number % 3])
        theirs.save(attrs.evolve(state, status=Status.PAUSING))
        theirs.save(state)
        assert ours.load() == state


def test_a_save_bears_the_time_of_the_finest_clock_for_inodes_come_again(store, monkeypatch):
    # Where the kernel stamps by its tick, two saves within one would look the same.
    directory = made(store)
    for nanoseconds in (1_700_000_000_123_456_789, 1_700_000_000_123_456_790):
        monkeypatch.setattr(time, "time_ns", lambda now=nanoseconds: now)
        directory.save(state_of())
        assert os.stat(f"{directory.path}/state.json").st_mtime_ns == nanoseconds


def test_what_is_changed_in_a_dict_after_saving_is_not_saved(store):
    options = {"cgroup": "/a"}
    made(store).save(state_of(exec=SavedSubstate("linux", options)))
    options["cgroup"] = "/b"
    assert store.open("web").load().exec.options == {"cgroup": "/a"}


def test_an_invalid_state_is_not_saved_and_the_earlier_one_stays(store):
    directory = made(store)
    before = directory.load()
    with pytest.raises(StateInvalid):
        directory.save(attrs.evolve(before, config={"x": object()}))
    assert store.open("web").load() == before


def test_the_state_of_another_container_is_refused(store):
    directory = made(store)
    directory.save(state_of("db"))
    with pytest.raises(StateInvalid, match="id is 'db'; the directory is that of 'web'"):
        store.open("web").load()


@pytest.mark.parametrize("size", [0, 1, 100])
def test_a_torn_state_is_an_error_and_the_container_can_still_go(store, size):
    directory = made(store)
    os.truncate(f"{directory.path}/state.json", size)
    with pytest.raises(StateInvalid, match=f"{directory.path}/state.json"):
        store.open("web").load()
    store.open("web").retire()
    assert store.ids() == []


def test_a_reader_never_meets_half_a_state_while_another_saves(store, worker):
    made(store)
    code = """
import attrs
directory = Store(args[0]).open("web")
state = directory.load()
say("ready"); hear()
for number in range(500):
    numbers = [number] * (1 + number * 37 % 2000)
    directory.save(attrs.evolve(state, config={"numbers": numbers}))
say("done"); hear()
"""
    writer = worker(code, store.root)
    assert writer.says() == "ready"
    writer.tell()
    seen: set[int] = set()
    while (number := max(seen, default=0)) < 499:
        config = store.open("web").load().config
        if "numbers" in config:
            number = config["numbers"][0]
            assert config["numbers"] == [number] * (1 + number * 37 % 2000)
            seen.add(number)
    assert writer.says() == "done"
    assert len(seen) > 10


# --- retiring -----------------------------------------------------------------------------


def test_a_retired_container_is_gone_and_its_journal_is_in_the_history(store):
    directory = made(store)
    os.mkfifo(f"{directory.path}/exec.fifo")
    os.makedirs(f"{directory.path}/processes/12")
    with directory.lock.hold(1, "destroy"):
        assert directory.retire() is None
    assert entries(store) == [".history"]
    (path,) = store.history.find("web")
    assert [record.kind for record in store.history.read(path)] == ["begin", "commit"]


def test_retiring_twice_is_as_good_as_once(store):
    directory = made(store)
    directory.retire()
    directory.retire()
    assert len(store.history.find("web")) == 1
    for operation in (directory.load, lambda: directory.save(state_of())):
        with pytest.raises(ContainerNotExists):
            operation()


def test_the_id_of_a_retired_container_is_free_and_both_journals_are_kept(store):
    for _ in range(3):
        made(store).retire()
    assert len(store.history.find("web")) == 3


def test_a_container_goes_even_if_its_journal_cannot_be_kept(store):
    directory = made(store)
    open(f"{store.root}/.history", "w").close()
    problem = directory.retire()
    assert isinstance(problem, OperationFailed)
    assert ".history" in str(problem)
    assert entries(store) == [".history"]


def test_removing_follows_no_symbolic_link(store, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "thesis.tex").touch()
    directory = made(store)
    os.mkdir(f"{directory.path}/processes")
    os.symlink(outside, f"{directory.path}/rootfs")
    os.symlink(outside, f"{directory.path}/processes/1")
    directory.retire()
    assert (outside / "thesis.tex").exists()
    assert entries(store) == [".history"]


@pytest.mark.root
@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_removing_stops_at_a_mount(store, tmp_path, kind):
    volume = tmp_path / "volume"
    volume.mkdir()
    directory = made(store)
    target = f"{directory.path}/rootfs"
    os.mkdir(target)
    mount = ["tmpfs", "-t", "tmpfs"] if kind == "tmpfs" else [str(volume), "--bind"]
    subprocess.run(["mount", *mount, target], check=True)
    descriptor = os.open(target, os.O_PATH)
    try:
        open(f"{target}/thesis.tex", "w").close()
        with pytest.raises(OperationFailed, match="rootfs: a file system is still mounted"):
            directory.retire()
        (aside,) = (name for name in entries(store) if name.startswith(".removing-"))
        assert os.path.exists(f"{store.root}/{aside}/rootfs/thesis.tex")
        (problem,) = store.sweep()
        assert "rootfs" in str(problem)
    finally:
        target = os.readlink(f"/proc/self/fd/{descriptor}")  # it was renamed meanwhile
        os.close(descriptor)
        subprocess.run(["umount", target], check=True)
    assert store.sweep() == []
    assert entries(store) == [".history"]
    assert store.ids() == []
    assert kind == "tmpfs" or (volume / "thesis.tex").exists()


def test_removing_what_is_not_there_is_no_error(tmp_path):
    remove_tree(str(tmp_path / "nothing"))


# --- what a killed process leaves ---------------------------------------------------------


@pytest.mark.parametrize("name", ["web", "w" * 500])
def test_a_reservation_whose_process_was_killed_is_swept(store, worker, name):
    reserver = worker("directory = Store(args[0]).reserve(args[1]); say('ok'); hear()",
                      store.root, name)  # fmt: skip
    assert reserver.says() == "ok"
    store.sweep()
    assert len(entries(store)) == 1  # it lives
    reserver.kill()
    assert store.sweep() == []
    assert entries(store) == []


def test_the_id_of_a_killed_reserver_is_free_at_once(store, worker):
    reserver = worker("directory = Store(args[0]).reserve('web'); say('ok'); hear()", store.root)
    assert reserver.says() == "ok"
    with pytest.raises(IdInUse):
        store.reserve("web")
    reserver.kill()
    assert store.reserve("web").lock.held
    assert entries(store) == ["web"]


HANG = "os.{0} = lambda *args, **more: (say('there'), hear(), os._exit(0))\n"


def test_killed_while_it_reserves_it_leaves_what_is_swept(store, worker):
    reserver = worker(HANG.format("rename") + "Store(args[0]).reserve('web')", store.root)
    assert reserver.says() == "there"
    store.sweep()
    (name,) = entries(store)
    assert name.startswith(".creating-")
    reserver.kill()
    store.sweep()
    assert entries(store) == []


@pytest.mark.parametrize("call", ["rmdir", "scandir"])
def test_killed_while_it_retires_its_removal_is_finished_and_its_journal_kept(store, worker, call):
    made(store)
    code = """
directory = Store(args[0]).open('web')
with directory.lock.hold(1, 'destroy'): directory.retire()
"""
    remover = worker(HANG.format(call) + code, store.root)
    assert remover.says() == "there"
    remover.kill()
    assert store.ids() == []
    assert len(entries(store)) == 2
    assert store.sweep() == []
    assert entries(store) == [".history"]
    assert len(store.history.find("web")) == 1


def test_killed_before_its_journal_moved_the_sweep_moves_it(store, worker):
    made(store)
    code = """
from runstate.persistence import history
history.History.archive = lambda *args: (say('there'), hear())
directory = Store(args[0]).open('web')
with directory.lock.hold(1, 'destroy'): directory.retire()
"""
    remover = worker(code, store.root)
    assert remover.says() == "there"
    store.sweep()
    assert store.history.find("web") == []  # it lives
    remover.kill()
    store.sweep()
    assert entries(store) == [".history"]
    assert len(store.history.find("web")) == 1


def test_sweeping_while_others_create_and_destroy_disturbs_nobody(store, worker):
    os.mkdir(store.root)
    code = """
sys.path.insert(0, args[1])
from tests.persistence.samples import state_of
store = Store(args[0])
for number in range(150):
    name = f"{args[2]}-{number}"
    directory = store.reserve(name)
    directory.journal.append("begin", plan=[])
    directory.save(state_of(name))
    directory.retire()
    directory.lock.release()
say("done"); hear()
"""
    repository = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    workers = [worker(code, store.root, repository, name) for name in "abc"]
    problems = []
    while len(os.listdir(store.root)) == 0:
        problems += store.sweep()
    for _ in range(300):
        problems += store.sweep()
    assert [each.says() for each in workers] == ["done"] * 3
    problems += store.sweep()
    assert problems == []
    assert entries(store) == [".history"]
    assert len(os.listdir(f"{store.root}/.history")) == 450
