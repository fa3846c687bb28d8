"""What stage `preprocess` does with flights, as a bare pandas script: see `preprocess.py`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from sklearn.metrics import roc_auc_score

Splits = dict[str, pd.DataFrame]


def run_bare(project: Path, *, profile: bool) -> None:
    """Everything, in order."""
    with (project / "params.yaml").open() as file:
        data = yaml.load(file, Loader=yaml.CSafeLoader)["data"]
    out = project / "bare"
    out.mkdir(exist_ok=True)
    kinds: dict[str, dict[str, Any]] = data["columns"]
    numeric = [name for name, how in kinds.items() if how["kind"] == "numeric"]
    words = [name for name in kinds if name not in numeric]
    splits = split(clean(project, kinds, numeric), data["split"])
    look_for_leaks(splits["train"], splits["validation"], numeric, words)
    (out / "features.json").write_text(json.dumps(fit(splits["train"], kinds, numeric, words)))
    for name, part in splits.items():
        part.to_parquet(out / f"{name}.parquet", index=False, compression="zstd")
    if profile:
        (out / "profile.json").write_text(json.dumps(describe(splits, numeric, words)))


def clean(project: Path, kinds: dict[str, dict[str, Any]], numeric: list[str]) -> pd.DataFrame:
    """Types, impossible values, missing labels, copies."""
    raw = pd.read_parquet(project / "data/raw/table.parquet", columns=[*kinds, "arr_delay"])
    frame: dict[str, Any] = {}
    for name, how in kinds.items():
        values = raw[name]
        if name in numeric:
            low, high = how.get("range") or (-np.inf, np.inf)
            numbers = values.astype("float64")
            frame[name] = numbers.where(numbers.between(low, high))
            continue
        if values.dtype.kind == "f":
            values = values.astype("Int64")
        elif values.dtype.kind == "M":
            values = values.dt.strftime("%Y-%m-%dT%H:%M:%SZ")
        frame[name] = values.astype("string").fillna("").astype("str")
    frame["label"] = raw["arr_delay"]
    table = pd.DataFrame(frame).dropna(subset=["label"]).drop_duplicates()
    return table.assign(label=(table["label"] > 15).astype("int64"))


def split(table: pd.DataFrame, bounds: dict[str, Any]) -> Splits:
    """Train, validation and test by time."""
    moment = pd.to_datetime(table["time_hour"], utc=True)
    first, second = (
        pd.Timestamp(bounds[key], tz="UTC") for key in ("validation_from", "test_from")
    )
    place = (moment >= first).astype(int) + (moment >= second)
    names = ("train", "validation", "test")
    return {
        name: table[place == number].reset_index(drop=True) for number, name in enumerate(names)
    }


def look_for_leaks(
    train: pd.DataFrame, validation: pd.DataFrame, numeric: list[str], words: list[str]
) -> None:
    """Refuses a column that alone gives the label away."""
    label, truth = train["label"], validation["label"]
    for name in numeric:
        known = validation[name].notna()
        if truth[known].nunique() == 2:
            refuse(name, roc_auc_score(truth[known], validation.loc[known, name]))
    for name in words:
        share = label.groupby(train[name]).mean()
        refuse(name, roc_auc_score(truth, validation[name].map(share).fillna(label.mean())))


def refuse(name: str, area: float) -> None:
    """Stops where the area says that the label is known."""
    if max(area, 1 - area) > 0.995:
        raise SystemExit(f"{name} gives the label away")


def fit(
    train: pd.DataFrame, kinds: dict[str, dict[str, Any]], numeric: list[str], words: list[str]
) -> dict[str, Any]:
    """Statistics of the training split."""
    fitted: dict[str, Any] = {}
    for name in numeric:
        present = train[name].dropna().to_numpy()
        buckets = kinds[name].get("buckets") or 0
        shares = np.arange(1, buckets) / buckets if buckets else []
        cuts = np.unique(np.quantile(present, shares, method="inverted_cdf")).tolist()
        scaled = np.log1p(np.abs(present)) if kinds[name].get("log") else present
        fitted[name] = [scaled.mean(), scaled.std(), float(np.median(scaled)), cuts]
    for name in words:
        counts = train.loc[train[name] != "", name].value_counts()
        fitted[name] = counts.index[counts >= kinds[name].get("min_count", 5)].tolist()
    return fitted


def describe(splits: Splits, numeric: list[str], words: list[str]) -> dict[str, Any]:
    """The figures of a data profile: distributions by split, association with the label, drift."""
    train, label = splits["train"], splits["train"]["label"]
    found: dict[str, Any] = {}
    for name in numeric:
        present = train[name].dropna()
        edges = np.linspace(present.min(), present.max(), 31)
        tenths = np.unique(present.quantile(np.arange(1, 10) / 10))
        cells = {
            split: np.bincount(np.searchsorted(tenths, part[name].dropna()), minlength=10)
            for split, part in splits.items()
        }
        late = present[label[present.index] == 1]
        found[name] = {
            "summary": present.describe().to_dict(),
            "distinct": int(present.nunique()),
            "missing": {split: float(part[name].isna().mean()) for split, part in splits.items()},
            "histogram": {
                split: np.histogram(part[name].dropna(), edges)[0].tolist()
                for split, part in splits.items()
            },
            "label": np.histogram(late, edges)[0].tolist(),
            "auc": roc_auc_score(label[present.index], present),
            "cells": {split: counts.tolist() for split, counts in cells.items()},
        }
    for name in words:
        counts = {split: part[name].value_counts() for split, part in splits.items()}
        together = pd.crosstab(train[name], label).to_numpy()
        expected = np.outer(together.sum(axis=1), together.sum(axis=0)) / together.sum()
        found[name] = {
            "top": {split: known.head(8).to_dict() for split, known in counts.items()},
            "distinct": int(train[name].nunique()),
            "missing": {split: float((part[name] == "").mean()) for split, part in splits.items()},
            "chi_squared": float(((together - expected) ** 2 / expected).sum()),
        }
    return found
