"""Pairs of columns that are places: latitude and longitude, by their names and their numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from pipeline.core.features import Column
from pipeline.core.table import convert
from pipeline.preprocess.config_kinds import LATITUDES, LONGITUDES
from pipeline.runner.init_guess import Columns, Guess, Kind

_LATITUDE = re.compile(r"(?<![a-z])lat(itude)?(?![a-z])", re.IGNORECASE)
_LONGITUDES = {"lat": ("lon", "lng", "long"), "latitude": ("longitude",)}


def with_places(column: Columns, guesses: Mapping[str, Guess]) -> dict[str, Guess]:
    """Takes two columns of numbers for a place where one is called like the other.

    `pickup_lat` and `pickup_lon`, `Latitude` and `Longitude`; all numbers are possible degrees.

    Args:
        column: Gives a column of the raw table.
        guesses: What each column is taken for.
    """
    made = dict(guesses)
    for name in guesses:
        partner = _partner(name, guesses)
        if partner is None or not _are(column(name), *LATITUDES):
            continue
        if _are(column(partner), *LONGITUDES):
            made[name] = _place(guesses[name], "latitude", {"longitude": partner})
            made[partner] = _place(guesses[partner], "longitude", {})
    return made


def _partner(name: str, guesses: Mapping[str, Guess]) -> str | None:
    found = _LATITUDE.search(name)
    if found is None or not _is_number(guesses[name]):
        return None
    wanted = {
        (name[: found.start()] + word + name[found.end() :]).lower()
        for word in _LONGITUDES[found[0].lower()]
    }
    alike = (other for other in guesses if other.lower() in wanted)
    return next((other for other in alike if _is_number(guesses[other])), None)


def _is_number(guess: Guess) -> bool:
    return guess.taken and guess.kind == "numeric" and not guess.stray_words


def _are(values: pd.Series, low: float, high: float) -> bool:
    numbers, _ = convert(values, Column(name=str(values.name), dtype="float64"))
    present = numbers[~np.isnan(numbers)]
    return bool(len(present) and present.min() >= low and present.max() <= high)


def _place(guess: Guess, kind: Kind, options: Mapping[str, str]) -> Guess:
    return replace(guess, kind=kind, options=options, note="half of a place", warning="")
