from __future__ import annotations

import json
import os
import zlib

import pytest

from runstate.errors import StateInvalid
from runstate.persistence.journal import Journal, Record, decode, encode, find_pending

PLAN = [{"step": "a"}, {"step": "b"}]


@pytest.fixture
def journal(tmp_path):
    return Journal(str(tmp_path / "journal.jsonl"))


def begin(journal: Journal, trigger: str = "start") -> None:
    journal.append("begin", trigger=trigger, source="created", dest="running", plan=PLAN)


def written(journal: Journal) -> bytes:
    """A small journal: a committed transition, and one in its middle."""
    begin(journal)
    journal.append("intent", index=0)
    journal.append("done", index=0, ms=0.5, result={"pid": 7})
    journal.append("commit", status="running", ms=1.0)
    begin(journal, "pause")
    journal.append("intent", index=0)
    with open(journal.path, "rb") as file:
        return file.read()


def with_bytes(journal: Journal, data: bytes) -> Journal:
    with open(journal.path, "wb") as file:
        file.write(data)
    return Journal(journal.path)


def test_records_come_back_in_order_with_numbers_and_times(journal):
    written(journal)
    records = Journal(journal.path).read()
    assert [record.seq for record in records] == [1, 2, 3, 4, 5, 6]
    assert [record.kind for record in records] == [
        "begin", "intent", "done", "commit", "begin", "intent",
    ]  # fmt: skip
    assert records[2].data == {"index": 0, "ms": 0.5, "result": {"pid": 7}}
    assert records == sorted(records, key=lambda record: record.time)


def test_a_line_is_json_and_its_checksum_is_of_the_text_before_it(journal):
    for line in written(journal).splitlines():
        text, _, tail = line.rpartition(b',"checksum":"')
        assert f"{zlib.crc32(text):08x}" == json.loads(line)["checksum"] == tail[:8].decode()


def test_no_journal_is_an_empty_one(journal):
    assert journal.read() == []
    assert journal.pending() is None


def test_a_new_line_in_the_data_is_no_new_line_in_the_file(journal):
    journal.append("note", text="a\nb\u2028c", surrogate="\udce9")
    assert Journal(journal.path).read()[0].data == {"text": "a\nb\u2028c", "surrogate": "\udce9"}


def test_a_config_is_written_once_into_each_record_that_has_it(journal):
    config = {"process": {"args": ["\udce9", "b"]}, "linux": {}}
    journal.append("begin", trigger="create", config=config, plan=[])
    journal.append("begin", config=config)
    journal.append("note", config=None)
    data = [record.data for record in Journal(journal.path).read()]
    assert data[0] == {"trigger": "create", "config": config, "plan": []}
    assert data[1:] == [{"config": config}, {"config": None}]


def test_a_config_that_is_not_json_is_refused(journal):
    with pytest.raises(StateInvalid, match="journal 'begin': it cannot be JSON"):
        journal.append("begin", config={"a": {1, 2}})
    assert journal.read() == []


def test_what_is_not_json_is_refused_and_nothing_is_written(journal):
    begin(journal)
    for value in (object(), float("nan"), {1}):
        with pytest.raises(StateInvalid, match="'done'"):
            journal.append("done", index=0, ms=1, result=value)
    journal.append("intent", index=0)
    assert [record.seq for record in journal.read()] == [1, 2]


def test_many_records_may_be_written_at_once(journal):
    journal.append_many([("note", {"a": 1}), ("note", {"a": 2})])
    journal.append("note", a=3)
    assert [(r.seq, r.data["a"]) for r in journal.read()] == [(1, 1), (2, 2), (3, 3)]


def test_two_that_append_in_turn_number_their_records_as_one(journal):
    other = Journal(journal.path)
    for number in range(6):
        (journal, other)[number % 2].append("note", number=number)
    assert [record.seq for record in journal.read()] == [1, 2, 3, 4, 5, 6]


def test_no_descriptor_stays_open_between_transitions(journal):
    before = len(os.listdir("/proc/self/fd"))
    begin(journal)
    assert len(os.listdir("/proc/self/fd")) == before + 1
    journal.append("commit", status="running", ms=1.0)
    assert len(os.listdir("/proc/self/fd")) == before
    begin(journal)
    journal.close()
    assert len(os.listdir("/proc/self/fd")) == before


# --- damage -------------------------------------------------------------------------------


def test_torn_at_any_byte_it_reads_as_the_whole_lines_before(journal):
    data = written(journal)
    whole = Journal(journal.path).read()
    for length in range(len(data) + 1):
        torn = with_bytes(journal, data[:length])
        expected = whole[: data[:length].count(b"\n")]
        assert torn.read() == expected
        assert torn.read(strict=False) == expected
        torn.pending()


def test_torn_at_any_byte_it_can_be_appended_to(journal):
    data = written(journal)
    for length in range(len(data) + 1):
        torn = with_bytes(journal, data[:length])
        torn.append("note", after="the crash")
        records = Journal(journal.path).read()
        assert len(records) == data[:length].count(b"\n") + 1
        assert records[-1].seq == len(records)
        assert records[-1].data == {"after": "the crash"}


def test_a_bit_flipped_anywhere_never_makes_a_wrong_record(journal):
    data = written(journal)
    whole = Journal(journal.path).read()
    for place in range(len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[place] ^= 1 << bit
            damaged = with_bytes(journal, bytes(flipped))
            try:
                # Only a damaged last newline may pass, as a torn line.
                assert damaged.read() == whole[:-1]
                assert place == len(data) - 1
            except StateInvalid as error:
                line = data[:place].count(b"\n") + 1
                assert f"line {line} " in str(error)  # noqa: PT017
            good = [record for record in damaged.read(strict=False) if record.kind != "damaged"]
            assert all(record in whole for record in good)
            assert good == sorted(good, key=lambda record: record.seq)
            assert len(good) >= len(whole) - 2  # a flipped newline costs two lines
            damaged.pending()


def test_a_line_that_is_missing_is_noticed(journal):
    lines = written(journal).splitlines(keepends=True)
    damaged = with_bytes(journal, b"".join(lines[:2] + lines[3:]))
    with pytest.raises(StateInvalid, match="line 3 is damaged: its number is not 3"):
        damaged.read()
    assert [(r.seq, r.kind) for r in damaged.read(strict=False)] == [
        (1, "begin"), (2, "intent"), (3, "damaged"), (4, "commit"), (5, "begin"), (6, "intent"),
    ]  # fmt: skip


def test_a_line_that_is_there_twice_is_noticed(journal):
    lines = written(journal).splitlines(keepends=True)
    damaged = with_bytes(journal, b"".join([*lines, lines[-1]]))
    with pytest.raises(StateInvalid, match="line 7"):
        damaged.read()


def test_a_damaged_journal_goes_on_after_the_damage(journal):
    lines = written(journal).splitlines(keepends=True)
    damaged = with_bytes(journal, b"".join([*lines[:3], b"rubbish\n", *lines[4:]]))
    damaged.append("rollback", error="recovered", ms=0)
    assert [(r.seq, r.kind) for r in Journal(journal.path).read(strict=False)][3:] == [
        (4, "damaged"), (5, "begin"), (6, "intent"), (7, "rollback"),
    ]  # fmt: skip
    assert Journal(journal.path).pending() is None


def test_rubbish_and_nothing_else_can_be_read_and_appended_to(journal):
    damaged = with_bytes(journal, os.urandom(2000).replace(b"\n", b"") + b"\n")
    assert [record.kind for record in damaged.read(strict=False)] == ["damaged"]
    assert damaged.pending() is None
    damaged.append("note", a=1)
    assert damaged.read(strict=False)[-1].data == {"a": 1}


@pytest.mark.parametrize(
    "text", ['{"seq":"1","time":1,"kind":"a"', '{"seq":1,"kind":"a"', "[1", '{"seq":1,"time":1']
)
def test_a_line_with_a_good_checksum_that_is_no_record_is_none(text):
    line = f'{text},"checksum":"{zlib.crc32(text.encode()):08x}"}}'.encode()
    assert decode(line) is None


def test_encode_and_decode_are_inverse():
    record = Record(3, 1.5, "done", {"index": 0, "checksum": "a field of this name too"})
    again = decode(encode(record)[:-1])
    assert again is not None
    assert (again.seq, again.time, again.kind) == (3, 1.5, "done")


# --- the pending transition ---------------------------------------------------------------


def test_a_transition_without_an_end_is_pending_with_all_that_recovery_needs(journal):
    begin(journal, "start")
    journal.append("commit", status="running", ms=1)
    begin(journal, "pause")
    journal.append("intent", index=0)
    journal.append("note", index=0, pid=7)
    journal.append("done", index=0, ms=1, result={"a": 1})
    journal.append("intent", index=1)
    for reader in (journal, Journal(journal.path)):
        found = reader.pending()
        assert found is not None
        assert (found.trigger, found.source, found.dest) == ("pause", "created", "running")
        assert list(found.plan) == PLAN
        assert found.begun == (0, 1)
        assert found.done == {0: {"a": 1}}
        assert found.notes == ({"index": 0, "pid": 7},)
        assert found.records[0].kind == "begin"
        assert not found.damaged


@pytest.mark.parametrize("kind", ["commit", "rollback"])
def test_a_transition_with_an_end_is_not_pending(journal, kind):
    begin(journal)
    journal.append(kind, ms=1)
    assert journal.pending() is None
    assert Journal(journal.path).pending() is None
    journal.append("note", signal="SIGHUP")
    assert journal.pending() is None


def test_a_note_in_the_middle_of_a_transition_does_not_end_it(journal):
    begin(journal)
    journal.append("note", signal="SIGHUP")
    assert journal.pending() is not None


def test_what_another_has_begun_since_is_pending(journal):
    begin(journal)
    journal.append("commit", ms=1)
    assert journal.pending() is None
    begin(Journal(journal.path))
    assert journal.pending() is not None


def test_looking_for_a_pending_transition_leaves_a_line_that_is_being_written(journal):
    data = written(journal)
    reader = with_bytes(journal, data[:-5])
    reader.pending()
    assert os.path.getsize(journal.path) == len(data) - 5


def lines_of(journal: Journal) -> list[bytes]:
    begin(journal)
    for index in range(len(PLAN)):
        journal.append("intent", index=index)
        journal.append("done", index=index, ms=1, result=None)
    journal.append("commit", status="running", ms=2)
    with open(journal.path, "rb") as file:
        return file.read().splitlines(keepends=True)


def test_if_all_steps_were_done_the_line_that_cannot_be_read_was_the_commit(journal):
    lines = lines_of(journal)
    lines[-1] = lines[-1].replace(b"commit", b"c0mmit")
    damaged = with_bytes(journal, b"".join(lines))
    assert damaged.pending() is None
    damaged.append("note", signal="SIGHUP")
    assert damaged.pending() is None


def test_if_the_commit_was_not_written_the_transition_is_pending_however_much_was_done(journal):
    lines = lines_of(journal)
    assert with_bytes(journal, b"".join(lines[:-1])).pending() is not None


def test_if_records_of_a_pending_transition_are_lost_all_its_steps_may_have_begun(journal):
    begin(journal)
    journal.append("intent", index=0)
    with open(journal.path, "ab") as file:
        file.write(b"rubbish\n")
    found = journal.pending()
    assert found is not None
    assert found.damaged
    assert found.begun == (0, 1)


def test_without_a_begin_nothing_is_pending():
    assert find_pending([Record(1, 0.0, "damaged", {"line": 1, "reason": ""})]) is None
