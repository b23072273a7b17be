"""New limits over old ones."""

from __future__ import annotations

from runstate.config.merging import completed, merge_resources


def test_what_is_not_named_stays():
    saved = {"memory": {"limit": 1, "swap": 2}, "pids": {"limit": 3}}
    assert merge_resources(saved, {"memory": {"limit": 9}}) == {
        "memory": {"limit": 9, "swap": 2},
        "pids": {"limit": 3},
    }
    assert saved == {"memory": {"limit": 1, "swap": 2}, "pids": {"limit": 3}}


def test_zeros_and_nulls_that_mean_nothing_are_no_values():
    saved = {"memory": {"limit": 1}, "cpu": {"shares": 5, "cpus": "0", "idle": 1, "burst": 3}}
    new = {
        "memory": {"limit": 0, "swap": None},
        "cpu": {"shares": 0, "cpus": "", "idle": 0, "burst": 0},
        "pids": None,
    }
    assert merge_resources(saved, new) == {
        "memory": {"limit": 1},
        "cpu": {"shares": 5, "cpus": "0", "idle": 0, "burst": 0},
    }


def test_lists_are_merged_by_what_their_entries_are_about():
    saved = {
        "blockIO": {"weightDevice": [{"major": 8, "minor": 0, "weight": 10}]},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 1}],
        "network": {"priorities": [{"name": "lo", "priority": 1}]},
        "unified": {"memory.high": "1"},
        "rdma": {"a": {"hcaHandles": 1}},
    }
    new = {
        "blockIO": {
            "weightDevice": [
                {"major": 8, "minor": 0, "weight": 20},
                {"major": 8, "minor": 16, "weight": 30},
            ]
        },
        "hugepageLimits": [{"pageSize": "1GB", "limit": 2}],
        "network": {"priorities": [{"name": "lo", "priority": 4}]},
        "unified": {"cpu.weight": "2"},
        "rdma": {"a": {"hcaObjects": 2}},
    }
    assert merge_resources(saved, new) == {
        "blockIO": {
            "weightDevice": [
                {"major": 8, "minor": 0, "weight": 20},
                {"major": 8, "minor": 16, "weight": 30},
            ]
        },
        "hugepageLimits": [{"pageSize": "2MB", "limit": 1}, {"pageSize": "1GB", "limit": 2}],
        "network": {"priorities": [{"name": "lo", "priority": 4}]},
        "unified": {"memory.high": "1", "cpu.weight": "2"},
        "rdma": {"a": {"hcaHandles": 1, "hcaObjects": 2}},
    }


def test_rules_for_devices_are_replaced_as_a_whole():
    saved = {"devices": [{"allow": False}]}
    assert merge_resources(saved, {"devices": [{"allow": True}]}) == {"devices": [{"allow": True}]}
    assert merge_resources(saved, {"devices": []}) == saved


def test_what_the_kernel_takes_together_is_completed_from_what_was():
    saved = {
        "cpu": {"quota": 5000, "period": 10000, "shares": 9, "cpus": "0"},
        "memory": {"limit": 4, "swap": 8, "reservation": 2},
    }
    assert completed(saved, {"cpu": {"period": 20000}, "memory": {"limit": 6}}) == {
        "cpu": {"quota": 5000, "period": 20000},
        "memory": {"limit": 6, "swap": 8},
    }
    assert completed(saved, {"cpu": {"idle": 0, "quota": 0}}) == {"cpu": {"idle": 0, "shares": 9}}
    assert completed(saved, {"memory": {"reservation": 3}, "pids": {"limit": 5}}) == {
        "memory": {"reservation": 3},
        "pids": {"limit": 5},
    }
