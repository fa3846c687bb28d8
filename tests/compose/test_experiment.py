"""What `dvc exp run -S` did, laid over the recorded overrides."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipeline.compose.experiment import overlay

trees = st.recursive(
    st.integers(0, 3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, min_size=1),
    max_leaves=8,
)


@given(trees, trees)
def test_without_s_the_recorded_config_stays(recorded: Any, plain: Any):
    assert overlay(recorded, plain, plain) == recorded


@given(trees, trees)
def test_without_recorded_overrides_s_stays(plain: Any, asked: Any):
    assert overlay(plain, plain, asked) == asked


@given(trees, trees)
def test_doing_it_twice_changes_nothing(plain: Any, asked: Any):
    once = overlay(plain, plain, asked)
    assert overlay(once, plain, asked) == once


def test_both_sides_in_one_section():
    plain = {"train": {"epochs": 8, "seed": 0, "rate": 0.1}, "data": {"name": "flights"}}
    recorded = {"train": {"epochs": 20, "seed": 0, "rate": 0.1}, "data": {"name": "penguins"}}
    asked = {"train": {"epochs": 8, "seed": 7, "rate": 0.1}, "data": {"name": "flights"}}
    assert overlay(recorded, plain, asked) == {
        "train": {"epochs": 20, "seed": 7, "rate": 0.1},
        "data": {"name": "penguins"},
    }


def test_a_group_chosen_by_s_is_no_mixture():
    plain = {"model": {"name": "dcn", "layers": [64], "rank": 2}}
    recorded = {"model": {"name": "dcn", "layers": [128], "rank": 2}}
    asked = {"model": {"name": "mlp", "layers": [64]}}
    assert overlay(recorded, plain, asked) == asked


def test_s_wins_over_a_recorded_override_of_the_same_key():
    assert overlay({"a": 2}, {"a": 1}, {"a": 3}) == {"a": 3}


def test_a_key_added_by_s_arrives():
    assert overlay({"a": {"x": 2}}, {"a": {"x": 1}}, {"a": {"x": 1, "y": 5}}) == {
        "a": {"x": 1, "y": 5}
    }
