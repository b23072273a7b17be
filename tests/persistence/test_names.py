from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstate.errors import InvalidIdFormat
from runstate.persistence.names import check_id, directory_name

ALLOWED = string.ascii_letters + string.digits + "_+-."
OURS = (".history", ".creating-", ".removing-")
valid_ids = st.text(ALLOWED, min_size=1, max_size=1024).filter(
    lambda name: name not in {".", "..", ".history"} and not name.startswith(OURS[1:])
)


@pytest.mark.parametrize(
    "name", ["a", "web", "Web_1", "a+b-c.d", "...", ".hidden", "-", "x" * 1024, "0" * 255]
)
def test_an_id_may_be(name):
    check_id(name)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("", "at least one"),
        (".", "means a directory"),
        ("..", "means a directory"),
        ("a/b", "'/' at character 2"),
        ("../../etc", "'/' at character 3"),
        ("web one", "' ' at character 4"),
        ("naïve", "'ï' at character 3"),
        ("a\n", r"'\\n' at character 2"),
        ("\0", r"'\\x00' at character 1"),
        ("a~b", "'~' at character 2"),
        ("x" * 1025, "1025 characters"),
        (".history", "itself uses"),
        (".creating-1", "itself uses"),
        (".removing-web.1", "itself uses"),
        (7, "is text"),
        (None, "is text"),
    ],
)
def test_an_id_may_not_be(name, told):
    with pytest.raises(InvalidIdFormat, match=told):
        check_id(name)


@given(st.text(max_size=30))
def test_exactly_the_allowed_characters_are_allowed(name):
    good = len(name) > 0 and set(name) <= set(ALLOWED) and name not in {".", ".."}
    try:
        check_id(name)
    except InvalidIdFormat:
        assert not good or name.startswith(OURS)
    else:
        assert good


@given(valid_ids)
def test_every_id_has_a_directory_name_that_leaves_room(name):
    check_id(name)
    directory = directory_name(name)
    assert "/" not in directory
    assert len(f".removing-{directory}.{2**64}") <= 255
    assert len(f"{2**63:020}-{directory}.jsonl") <= 255


@given(valid_ids, valid_ids)
def test_two_ids_never_share_a_directory(one, other):
    assert (directory_name(one) == directory_name(other)) == (one == other)


def test_long_ids_that_begin_alike_have_directories_of_their_own():
    assert directory_name("x" * 1000 + "a") != directory_name("x" * 1000 + "b")
