from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstate.errors import StateInvalid
from runstate.persistence import schema
from runstate.states.state import ExitStatus, ProcessIdentity, SavedSubstate, State
from runstate.states.status import Status
from tests.persistence.samples import state_of

FILE = "/run/runstate/web/state.json"

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.text(), json_values, max_size=4)
unknown = st.dictionaries(st.text().map("x-".__add__), json_values, max_size=2)
substates = st.builds(SavedSubstate, st.text(), json_values, unknown)
numbers = st.integers(min_value=0, max_value=2**31)
exits = st.builds(
    ExitStatus, st.none() | numbers, st.none() | numbers, st.floats(0, 2**32), unknown
)
states = st.builds(
    State,
    id=st.text(),
    status=st.sampled_from([status for status in Status if status is not Status.ABSENT]),
    config=objects,
    created=st.floats(min_value=2**30, max_value=2**32),
    bundle=st.text(),
    init=st.none() | st.builds(ProcessIdentity, st.integers(1, 2**22), numbers),
    boot_id=st.text(),
    backend=st.text(),
    fs=substates,
    network=substates,
    exec=substates,
    exit=st.none() | exits,
    notices=st.lists(st.text(), max_size=3).map(tuple),
    extra=unknown,
)


@given(states)
def test_a_state_comes_back_as_it_was(state):
    again = schema.decode(schema.encode(state), FILE)
    assert again == state
    for one, other in ((again.fs, state.fs), (again.exec, state.exec)):
        assert one.extra == other.extra
    assert (again.exit is None) or again.exit.extra == state.exit.extra


def test_the_keys_are_libcontainers_and_ours_beside_them():
    raw = schema.dump(state_of())
    assert raw["version"] == 1
    assert (raw["init_process_pid"], raw["init_process_start"]) == (4711, 815)
    assert raw["created"] == "2023-11-14T22:13:20.123456001Z"
    assert raw["status"] == "running"
    assert raw["execstate"] == {"handler": "linux", "options": {"cgroup": "/runstate/web"}}
    assert {"id", "config", "fsstate", "netstate", "boot_id", "backend", "bundle", "exit",
            "notices"} <= raw.keys()  # fmt: skip


def test_unknown_keys_survive_a_round_trip_wherever_they_are():
    raw = schema.dump(state_of(exit=ExitStatus(0, None, 5.0)))
    raw["zebra"] = {"stripes": 7}
    raw["fsstate"]["later"] = [1]
    raw["exit"]["core"] = True
    again = schema.dump(schema.load(raw, FILE))
    assert again["zebra"] == {"stripes": 7}
    assert again["fsstate"]["later"] == [1]
    assert again["exit"]["core"] is True


def test_an_argument_that_is_not_utf8_survives():
    config = {"process": {"args": [b"caf\xe9".decode("utf-8", "surrogateescape")]}}
    state = state_of(config=config)
    assert schema.decode(schema.encode(state), FILE) == state


@pytest.mark.parametrize("value", [math.nan, math.inf, object(), {1, 2}])
def test_what_is_not_json_is_refused_before_it_is_saved(value):
    with pytest.raises(StateInvalid, match="'web' cannot be saved as JSON"):
        schema.encode(state_of(fs=SavedSubstate("bundle", value)))


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("id", 7, "7"),
        ("init_process_pid", "7", '"7"'),
        ("init_process_pid", True, "true"),
        ("init_process_pid", -1, "-1"),
        ("init_process_start", -1, "-1"),
        ("init_process_start", 1.5, "1.5"),
        ("created", 1700000000, "1700000000"),
        ("created", "yesterday", '"yesterday"'),
        ("created", "2023-02-30T00:00:00Z", "02-30"),
        ("config", [], "[]"),
        ("fsstate", None, "null"),
        ("netstate", "none", '"none"'),
        ("execstate", {"options": {}}, "'handler' is missing"),
        ("execstate", {"handler": "linux"}, "'options' is missing"),
        ("execstate", {"handler": 1, "options": {}}, "handler is 1"),
        ("status", "sleeping", '"sleeping"'),
        ("status", "absent", '"absent"'),
        ("status", 1, "1"),
        ("boot_id", None, "null"),
        ("backend", 3, "3"),
        ("bundle", {}, "{}"),
        ("exit", 0, "0"),
        ("exit", {"code": "0", "signal": None, "time": 1.0}, 'code is "0"'),
        ("exit", {"code": 0, "signal": -9, "time": 1.0}, "signal is -9"),
        ("exit", {"code": 0, "signal": None}, "'time' is missing"),
        ("notices", "none", '"none"'),
        ("notices", [1], "[1]"),
        ("version", "1", '"1"'),
        ("version", True, "true"),
        ("version", -1, "-1"),
    ],
)
def test_a_wrong_value_is_an_error_that_names_file_key_and_value(key, value, shown):
    raw = schema.dump(state_of())
    raw[key] = value
    with pytest.raises(StateInvalid) as caught:
        schema.load(raw, FILE)
    for part in (FILE, key, shown):
        assert part in str(caught.value)


@pytest.mark.parametrize("key", sorted(schema.dump(state_of()).keys() - {"exit", "notices"}))
def test_a_missing_key_is_an_error_that_names_it(key):
    raw = schema.dump(state_of())
    del raw[key]
    with pytest.raises(StateInvalid) as caught:
        schema.load(raw, FILE)
    assert FILE in str(caught.value)
    assert key in str(caught.value)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"\0" * 100, b"[]", b"null", b"[" * 100_000, b"\xff\xfe", b"{}"]
)
def test_a_file_that_is_no_state_is_an_error_that_names_it(text):
    with pytest.raises(StateInvalid, match=FILE):
        schema.decode(text, FILE)


def test_every_torn_state_is_an_error_and_never_another_state():
    text = schema.encode(state_of())
    for length in range(len(text) - 2):  # without its newline it is still whole
        with pytest.raises(StateInvalid):
            schema.decode(text[:length], FILE)


def test_a_newer_version_is_refused_with_the_remedy():
    raw = schema.dump(state_of()) | {"version": 7}
    with pytest.raises(StateInvalid, match=r"version 7 .* up to version 1: upgrade runstate"):
        schema.load(raw, FILE)


# --- what runnc wrote ---------------------------------------------------------------------


def runnc_state(**changes):
    return {
        "id": "nabla",
        "init_process_pid": 1678,
        "init_process_start": "16955",
        "created": "2018-12-21T11:22:23.591306172Z",
        "config": {
            "args": ["node.nabla", "app.js"],
            "rootfs": "/bundle/rootfs",
            "env": ["PATH=/bin"],
            "cwd": "/",
            "version": "1.0.1-dev",
            "labels": ["bundle=/bundle", "team=a=b"],
            "netnspath": "/var/run/netns/x",
            "memory": 512,
            "mounts": [{"destination": "/data", "source": "/srv"}],
        },
        "fsstate": {"Options": {"FsPath": "/run/nabla.iso"}, "InMemoryObjects": None},
        "netstate": {"Options": {"TapName": "tap1678"}, "InMemoryObjects": {}},
        "execstate": {"Options": None, "InMemoryObjects": None},
        "status": 1,
    } | changes


def test_a_state_of_runnc_is_read_as_one_of_ours():
    state = schema.load(runnc_state(), FILE)
    assert state.status is Status.RUNNING
    assert state.init == ProcessIdentity(1678, 16955)
    assert state.created == datetime(2018, 12, 21, 11, 22, 23, tzinfo=UTC).timestamp() + 0.591306172
    assert state.backend == "runnc"
    assert state.bundle == "/bundle"
    assert state.fs == SavedSubstate("runnc", {"FsPath": "/run/nabla.iso"})
    assert state.network == SavedSubstate("runnc", {"TapName": "tap1678"})
    assert state.exec == SavedSubstate("runnc", {})
    assert state.config == {
        "ociVersion": "1.0.1-dev",
        "process": {
            "args": ["node.nabla", "app.js"],
            "env": ["PATH=/bin"],
            "cwd": "/",
            "user": {"uid": 0, "gid": 0},
        },
        "root": {"path": "/bundle/rootfs"},
        "mounts": [{"destination": "/data", "source": "/srv"}],
        "annotations": {"bundle": "/bundle", "team": "a=b"},
        "linux": {
            "namespaces": [{"type": "network", "path": "/var/run/netns/x"}],
            "resources": {"memory": {"limit": 512 << 20}},
        },
    }
    assert schema.load(schema.dump(state), FILE) == state


@pytest.mark.parametrize(
    ("number", "status"), list(enumerate(["created", "running", "pausing", "paused", "stopped"]))
)
def test_runncs_numbers_are_libcontainers_statuses(number, status):
    assert schema.load(runnc_state(status=number), FILE).status == status


@pytest.mark.parametrize(
    "changes",
    [
        {"init_process_start": 16955},
        {"fsstate": {"FsPath": "/run/nabla.iso"}},
        {"fsstate": None},
        {"status": 4, "init_process_pid": 0, "init_process_start": ""},
        {"created": "0001-01-01T00:00:00Z"},
    ],
)
def test_other_shapes_of_runncs_are_read_too(changes):
    state = schema.load(runnc_state(**changes), FILE)
    assert schema.load(schema.dump(state), FILE) == state


@pytest.mark.parametrize(
    ("key", "value"),
    [("status", 5), ("status", -1), ("status", True), ("status", "running"),
     ("init_process_start", "soon"), ("config", None), ("init_process_pid", "x")],
)  # fmt: skip
def test_what_runnc_did_not_write_is_refused(key, value):
    with pytest.raises(StateInvalid, match=key):
        schema.load(runnc_state(**{key: value}), FILE)


def test_unknown_keys_survive_the_migration():
    state = schema.load(runnc_state(zebra=1), FILE)
    assert schema.dump(state)["zebra"] == 1


def test_a_state_of_ours_is_not_migrated():
    raw = schema.dump(state_of())
    assert schema.migrate(raw) is raw


# --- times --------------------------------------------------------------------------------


@given(st.floats(min_value=2**30, max_value=2**33))
def test_a_time_comes_back_as_the_same_double(seconds):
    assert schema.parse_time(schema.format_time(seconds)) == seconds


@given(
    st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)),  # noqa: DTZ001
    st.integers(-23 * 60, 23 * 60),
)
def test_rfc_3339_means_what_datetime_says(moment, minutes):
    sign = "-" if minutes < 0 else "+"
    offset = f"{sign}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
    text = moment.isoformat(timespec="microseconds") + offset
    utc = moment.replace(tzinfo=UTC) - timedelta(minutes=minutes)
    assert schema.parse_time(text) == pytest.approx(utc.timestamp(), abs=1e-4)


@pytest.mark.parametrize(
    "text",
    ["", "2023-11-14", "2023-11-14T22:13:20", "2023-13-01T00:00:00Z", "2023-11-14T24:00:00Z",
     "2023-11-14T22:13:20.Z", "2023-11-14T22:13:20Z ", "٢٠٢٣-11-14T22:13:20Z"],
)  # fmt: skip
def test_other_texts_are_no_times(text):
    assert schema.parse_time(text) is None


def test_encoding_is_one_line_of_json():
    text = schema.encode(attrs.evolve(state_of(), notices=("a\nb",)))
    assert text.count(b"\n") == 1
    assert json.loads(text)["notices"] == ["a\nb"]
