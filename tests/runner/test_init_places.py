"""Latitude and longitude are recognised by name and number, and only together."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.core.schema import build
from pipeline.preprocess.config import ColumnConfig
from pipeline.runner.init_guess import Guess
from pipeline.runner.init_places import with_places

RANDOM = np.random.default_rng(0)
NORTH, EAST = RANDOM.uniform(40, 41, 50), RANDOM.uniform(-75, -73, 50)


def kinds(**columns: object) -> dict[str, object]:
    frame = pd.DataFrame(columns)
    guesses = {name: Guess("numeric", {"log": True}) for name in frame}
    found = with_places(frame.__getitem__, guesses)
    for guess in found.values():
        build(ColumnConfig, guess.keys)  # type: ignore[arg-type]
    return {name: guess.keys.get("longitude", guess.kind) for name, guess in found.items()}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("lat", "lon"),
        ("pickup_lat", "pickup_lng"),
        ("Latitude", "longitude"),
        ("start latitude", "start longitude"),
        ("lat_2", "long_2"),
    ],
)
def test_a_pair_is_a_place(first: str, second: str):
    assert kinds(**{first: NORTH, second: EAST}) == {first: second, second: "longitude"}


@pytest.mark.parametrize(
    "columns",
    [
        {"lat": NORTH, "other": EAST},
        {"plate": NORTH, "plone": EAST},
        {"latency": NORTH, "lonency": EAST},
        {"lat": NORTH * 10, "lon": EAST},
        {"lat": NORTH, "lon": EAST * 10},
        {"a_lat": NORTH, "b_lon": EAST},
    ],
)
def test_what_is_no_place(columns: dict[str, object]):
    assert set(kinds(**columns).values()) == {"numeric"}


def test_two_pairs():
    found = kinds(a_lat=NORTH, a_lon=EAST, b_lat=NORTH, b_lon=EAST)
    assert found == {"a_lat": "a_lon", "a_lon": "longitude", "b_lat": "b_lon", "b_lon": "longitude"}
