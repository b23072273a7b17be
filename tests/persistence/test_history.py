from __future__ import annotations

import os

import pytest

from runstate.persistence.history import History, timeline
from runstate.persistence.journal import Journal

PLAN = [{"step": "create", "does": "create the fs"}, {"step": "run", "does": "run the exec"}]


@pytest.fixture
def history(tmp_path):
    return History(str(tmp_path / ".history"), count=10)


def archived(history: History, tmp_path, name: str, stamp: int, size: int = 0) -> str:
    journal = Journal(str(tmp_path / "journal.jsonl"))
    journal.append("note", stamp=stamp, padding="x" * size)
    path = history.archive(journal.path, name, stamp)
    assert path is not None
    return path


def test_a_journal_moves_and_is_found_by_id(history, tmp_path):
    path = archived(history, tmp_path, "web", 5)
    assert not (tmp_path / "journal.jsonl").exists()
    assert history.find("web") == [path]
    assert history.read(path)[0].data["stamp"] == 5


def test_the_latest_comes_first(history, tmp_path):
    paths = [archived(history, tmp_path, "web", stamp) for stamp in (9, 10, 100)]
    assert history.find("web") == paths[::-1]


def test_ids_that_end_alike_are_not_mixed_up(history, tmp_path):
    for name in ("web", "my-web", "web-web", "1-web"):
        archived(history, tmp_path, name, 1)
    for name in ("web", "my-web", "web-web", "1-web"):
        assert len(history.find(name)) == 1


def test_no_journal_and_no_history_are_no_error(history, tmp_path):
    assert history.archive(str(tmp_path / "nothing"), "web", 1) is None
    assert history.find("web") == []
    history.prune()


def test_there_are_never_more_than_the_bound_and_the_oldest_go(history, tmp_path):
    for stamp in range(1, 40):
        archived(history, tmp_path, f"c{stamp}", stamp)
        assert len(os.listdir(history.directory)) <= 10
    assert history.find("c39")
    assert not history.find("c1")


def test_there_are_no_more_bytes_than_the_bound(tmp_path):
    history = History(str(tmp_path / ".history"), count=10, size=5000)
    for stamp in range(1, 10):
        archived(history, tmp_path, f"c{stamp}", stamp, 1500)
    sizes = [os.stat(entry).st_size for entry in os.scandir(history.directory)]
    assert 0 < sum(sizes) <= 5000


def test_the_last_one_is_kept_however_large_it_is(tmp_path):
    history = History(str(tmp_path / ".history"), count=10, size=5000)
    archived(history, tmp_path, "small", 1)
    archived(history, tmp_path, "large", 2, 20_000)
    assert history.find("large")
    assert not history.find("small")


def test_a_large_history_is_not_listed_at_each_archiving(tmp_path, monkeypatch):
    history = History(str(tmp_path / ".history"))
    pruned = []
    monkeypatch.setattr(history, "prune", lambda: pruned.append(1))
    for stamp in range(1, 130):
        archived(history, tmp_path, "web", stamp)
    assert 1 < len(pruned) <= 4


# --- the timeline -------------------------------------------------------------------------


@pytest.fixture
def journal(tmp_path):
    return Journal(str(tmp_path / "journal.jsonl"))


def begin(journal: Journal, trigger: str) -> None:
    journal.append(
        "begin", trigger=trigger, source="absent", dest="created", plan=PLAN, pid=os.getpid()
    )


def test_a_transition_that_happened_reads_as_one(journal):
    begin(journal, "create")
    for index in range(2):
        journal.append("intent", index=index)
        journal.append("done", index=index, ms=0.5, result={"index": index})
    journal.append("commit", status="created", ms=2.5)
    (transition,) = timeline(journal.read())
    assert (transition.seq, transition.trigger, transition.pid) == (1, "create", os.getpid())
    assert (transition.source, transition.dest) == ("absent", "created")
    assert (transition.outcome, transition.ms, transition.error) == ("committed", 2.5, None)
    assert transition.started == journal.read()[0].time
    assert [(s.name, s.outcome, s.ms, s.result) for s in transition.steps] == [
        ("create the fs", "done", 0.5, {"index": 0}),
        ("run the exec", "done", 0.5, {"index": 1}),
    ]


def test_a_transition_that_failed_tells_which_step_and_what_was_undone(journal):
    begin(journal, "create")
    journal.append("intent", index=0)
    journal.append("done", index=0, ms=0.5, result=None)
    journal.append("intent", index=1)
    journal.append("failed", index=1, error="OperationFailed: no", ms=0.1)
    journal.append("undo", index=1)
    journal.append("undo", index=0)
    journal.append("rollback", error="OperationFailed: no", ms=1)
    (transition,) = timeline(journal.read())
    assert (transition.outcome, transition.error) == ("rolled back", "OperationFailed: no")
    assert [(s.outcome, s.error) for s in transition.steps] == [
        ("done, undone", None),
        ("failed, undone", "OperationFailed: no"),
    ]


def test_an_interrupted_transition_is_pending(journal):
    begin(journal, "create")
    journal.append("commit", ms=1)
    begin(journal, "start")
    journal.append("intent", index=0)
    first, second = timeline(journal.read())
    assert (first.outcome, second.outcome, second.ms) == ("committed", "pending", None)
    assert [step.outcome for step in second.steps] == ["begun", "planned"]


def test_a_damaged_journal_has_a_timeline_that_says_so(journal):
    begin(journal, "create")
    with open(journal.path, "ab") as file:
        file.write(b"rubbish\n")
    (transition,) = timeline(journal.read(strict=False))
    assert transition.error == "line 2 of the journal is damaged"


def test_no_records_are_no_transitions():
    assert timeline([]) == ()
