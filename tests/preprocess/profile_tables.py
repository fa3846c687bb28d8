"""Small tables with known properties, for the tests of the data profile."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pipeline.core.features import Column, Feature, FeatureSet, Label, Task
from pipeline.core.records import LABEL, Split

CLASSES: dict[Task, tuple[str, ...]] = {
    "binary": ("no", "yes"),
    "multiclass": ("red", "green", "blue"),
    "regression": (),
}


def table(rows: int = 1200, task: Task = "binary", seed: int = 0) -> pd.DataFrame:
    """A harmless table: nothing in it deserves a warning."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": rng.normal(40, 10, rows),
            "visits": rng.integers(0, 12, rows).astype("float64"),
            "city": rng.choice(["Rome", "Oslo", "Lima"], rows),
            "member": rng.random(rows) < 0.4,
        }
    )
    frame["age"] = frame["age"].mask(rng.random(rows) < 0.05)
    frame["city"] = frame["city"].mask(rng.random(rows) < 0.05, "").astype("str")
    signal = frame["visits"] + rng.normal(0, 6, rows)
    if task == "regression":
        return frame.assign(**{LABEL: signal.astype("float64")})
    cuts = np.quantile(signal, np.linspace(0, 1, len(CLASSES[task]) + 1)[1:-1])
    return frame.assign(**{LABEL: np.searchsorted(cuts, signal).astype("int64")})


def split(frame: pd.DataFrame) -> dict[Split, pd.DataFrame]:
    """The first two thirds to train on, then validation and test, in the order they stand."""
    first, second = len(frame) * 4 // 6, len(frame) * 5 // 6
    return {
        "train": frame[:first].reset_index(drop=True),
        "validation": frame[first:second].reset_index(drop=True),
        "test": frame[second:].reset_index(drop=True),
    }


def feature_set(
    frame: pd.DataFrame,
    task: Task = "binary",
    *,
    kept: tuple[str, ...] = (),
    features: tuple[Feature, ...] = (),
    label: str = "bought",
) -> FeatureSet:
    """The schema of `frame`."""
    dtypes = {"bool": "bool", "float64": "float64"}
    columns = [
        {"name": name, "dtype": dtypes.get(str(frame[name].dtype), "string")}
        for name in frame
        if name not in {LABEL, *kept}
    ]
    return FeatureSet(
        columns=tuple(Column(**column) for column in columns),
        label=Label(column=label, task=task, classes=CLASSES[task]),
        features=features,
        kept=kept,
        rows={name: len(part) for name, part in split(frame).items()},
    )
