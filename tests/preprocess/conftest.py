"""A small project to preprocess in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.core.artifacts import Artifacts, read_json
from pipeline.core.errors import PipelineError
from pipeline.core.features import FeatureSet
from pipeline.core.records import SPLITS, Split
from pipeline.core.schema import build
from pipeline.core.stage import Context
from pipeline.core.tracking import Journal
from pipeline.preprocess import STAGE
from pipeline.preprocess.config import DriftConfig

RULES: Mapping[str, Any] = {
    "engine": "pandas",
    "processes": 1,
    "stream": {"above_rows": 5_000_000, "part_rows": 1_000_000, "batch_rows": 250_000},
    "dask": {"address": "", "above_rows": 200_000_000},
    "sample_rows": 500_000,
    "profile": True,
    "wrong_type": "error",
    "out_of_range": "missing",
    "duplicates": "drop",
    "missing_label": "drop",
    "shown_rows": 3,
    "constant_fraction": 0.9999,
    "unique_fraction": 0.95,
    "leakage": "error",
    "leakage_score": 0.995,
    "contract": {
        "missing_increase": 0.05,
        "new_words_fraction": 0.0,
        "beyond_fraction": 0.001,
        "duplicates_fraction": 0.05,
    },
    "drift": {
        "max_rows": 50_000,
        "minimum_rows": 100,
        "false_discovery_rate": 0.01,
        "jensen_shannon": 0.1,
        "stability_index": 0.2,
        "kolmogorov_smirnov": 0.1,
        "missing_difference": 0.05,
        "new_fraction": 0.01,
        "classifier_auc": 0.6,
        "drifted_fraction": 0.0,
    },
}
DRIFT: DriftConfig = build(DriftConfig, RULES["drift"])
RANDOM = {"kind": "random", "validation_fraction": 0.2, "test_fraction": 0.2, "seed": 0}
LABEL_CONFIG = {"column": "label", "task": "binary"}


def numbers(rows: int, seed: int = 0) -> pd.DataFrame:
    """Two informative columns, a word, and a label that follows them loosely."""
    random = np.random.default_rng(seed)
    x, z = random.normal(size=(2, rows))
    word = random.choice(["red", "green", "blue"], rows)
    late = x + (word == "red") + random.normal(size=rows) > 0
    return pd.DataFrame({"x": x, "z": z, "word": word, "label": np.where(late, "yes", "no")})


COLUMNS: Mapping[str, Any] = {
    "x": {"kind": "numeric"},
    "z": {"kind": "numeric"},
    "word": {"kind": "categorical"},
}
"""Declares the features of `numbers`."""


@dataclass(frozen=True)
class Preprocess:
    """Runs the real stage in `root`."""

    root: Path

    def run(
        self,
        table: pd.DataFrame,
        columns: Mapping[str, Any] = COLUMNS,
        *,
        label: Mapping[str, Any] | None = None,
        split: Mapping[str, Any] | None = None,
        crosses: Mapping[str, Any] | None = None,
        group_rows: int | None = None,
        stream: Mapping[str, int] | None = None,
        **rules: Any,
    ) -> dict[Split, pd.DataFrame]:
        """Preprocesses `table`, in row groups of `group_rows`; returns what was written."""
        config = STAGE.configure(
            {
                "data": {
                    "columns": dict(columns),
                    "crosses": crosses or {},
                    "label": label or LABEL_CONFIG,
                    "split": split or RANDOM,
                },
                "preprocess": {**RULES, **rules, "stream": {**RULES["stream"], **(stream or {})}},
            }
        )
        self.artifacts.raw_table.write(table)
        if group_rows:
            table.to_parquet(self.artifacts.raw_table.path, row_group_size=group_rows)
        journal = Journal(self.root / "journal" / "preprocess.jsonl")
        STAGE.load()(config, self.artifacts, Context(root=self.root, journal=journal))
        return {name: self.artifacts.split(name).read() for name in SPLITS}

    @property
    def artifacts(self) -> Artifacts:
        """The project's artifacts."""
        return Artifacts(self.root)

    @property
    def features(self) -> FeatureSet:
        """What the last run fitted."""
        return self.artifacts.features.read()

    @property
    def cleaned(self) -> dict[str, int]:
        """Rows each rule touched in the last run."""
        steps = read_json(self.artifacts.profile.path / "cleaning.json")["steps"]
        return {step["rule"]: step["rows"] for step in steps}


@pytest.fixture
def preprocess(tmp_path: Path) -> Preprocess:
    """An empty project."""
    return Preprocess(tmp_path)


@pytest.fixture
def failing(preprocess: Preprocess) -> Callable[..., str]:
    """Preprocesses what must fail; returns the message, having seen that nothing was written."""

    def fail(*arguments: Any, **options: Any) -> str:
        with pytest.raises(PipelineError) as error:
            preprocess.run(*arguments, **options)
        assert error.value.expected
        assert error.value.remedy
        data = preprocess.root / "data"
        assert [path.name for path in data.iterdir()] == ["raw"]
        return str(error.value)

    return fail
