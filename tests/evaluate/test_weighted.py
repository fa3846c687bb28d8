"""Metrics by the rows' own weights, where the config asks for them; intervals by group."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from pipeline.core.features import RowWeight
from pipeline.core.model import load_model, predict
from pipeline.core.records import LABEL, SPLITS
from tests.evaluate.conftest import Workshop


def test_rows_count_by_weight_and_are_drawn_by_group(binary: Workshop):
    artifacts = binary.artifacts
    for split in SPLITS:
        frame = artifacts.split(split).read()
        group = np.array(["", *map(str, range(1, 40))])[np.arange(len(frame)) % 40]
        weight = np.where(frame["city"] == "Oslo", 3.0, 0.5)
        artifacts.split(split).write(frame.assign(w=weight, g=group))
    fitted = replace(binary.features, kept=("row", "w", "g"), group="g")
    artifacts.features.write(replace(fitted, weight=RowWeight(column="w", mean=1.75)))
    found = {}
    for weighted in (False, True):
        binary.evaluate(weighted=weighted)
        found[weighted] = json.loads(artifacts.metrics.read_text())["test"]["accuracy"]
    test = artifacts.split("test").read()
    right = predict(load_model(artifacts.model), test, fitted).argmax(axis=1) == test[LABEL]
    assert found[False] == pytest.approx(right.mean(), abs=1e-6)
    assert found[True] == pytest.approx(np.average(right, weights=test["w"]), abs=1e-6)
    assert found[True] != found[False]
