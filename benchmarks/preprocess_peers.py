"""What the engines of stage `preprocess` are measured against: plain pandas and Polars, from a CSV.

Each does one of two jobs:

- the columns: reads, works out the columns a model would take (scaled, cut to buckets, indexed,
  dates in parts) and writes them. No check, no cleaning, no split.
- the same job as the stage: reads, drops rows without a label and copies of earlier rows, splits at
  random, sums up the training rows (medians, means, spreads, quantiles, words and their counts) and
  writes the three splits. Still no check of the schema, no search for leaks, no profile.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

NUMBERS = ("n0", "n1", "n2", "n3", "long", "count")
WORDS = ("city", "shop", "code")
SHARES = {"test": (0.0, 0.1), "validation": (0.1, 0.2), "train": (0.2, 1.0)}


def pandas_columns(folder: Path) -> None:
    """Reads the CSV and works out the columns a model would take; writes them as Parquet."""
    frame = pd.read_csv(folder / "rows.csv", parse_dates=["at"])
    made = {name: frame[name].fillna(frame[name].median()) for name in NUMBERS[:4]}
    made = {name: (one - one.mean()) / one.std() for name, one in made.items()}
    logs = np.log1p(frame["long"])
    made["long"] = (logs - logs.mean()) / logs.std()
    made["bucket"] = pd.qcut(frame["long"], 16, labels=False)
    made["count"] = (frame["count"] - frame["count"].mean()) / frame["count"].std()
    for name in WORDS:
        order = frame[name].value_counts().index
        made[name] = pd.Categorical(frame[name], categories=order).codes
    made["paid"] = frame["paid"]
    made["day_of_week"], made["hour"] = frame["at"].dt.dayofweek, frame["at"].dt.hour
    made["label"] = frame["label"] == "yes"
    pd.DataFrame(made).to_parquet(folder / "plain.parquet", compression="zstd")


def polars_columns(folder: Path) -> None:
    """The same columns by Polars' streaming engine."""
    import polars as pl

    rows = pl.scan_csv(folder / "rows.csv", try_parse_dates=True, null_values=["nan"])
    numbers, words = NUMBERS[:4], WORDS
    logs = pl.col("long").log1p()
    cuts = [pl.col("long").quantile(i / 16).alias(f"cut{i}") for i in range(1, 16)]
    known = rows.select(
        *(pl.col(n).median().alias(f"{n}.median") for n in numbers),
        logs.mean().alias("long.mean"),
        logs.std().alias("long.std"),
        pl.col("count").mean().alias("count.mean"),
        pl.col("count").std().alias("count.std"),
        *cuts,
    )
    counted = [rows.group_by(w).len().sort("len", descending=True) for w in words]
    first, *tables = pl.collect_all([known, *counted], engine="streaming")
    fact = first.row(0, named=True)
    filled = {n: pl.col(n).fill_null(fact[f"{n}.median"]) for n in numbers}
    second = rows.select(
        *(one.mean().alias(f"{n}.mean") for n, one in filled.items()),
        *(one.std().alias(f"{n}.std") for n, one in filled.items()),
    )
    fact |= second.collect(engine="streaming").row(0, named=True)
    made = {n: (one - fact[f"{n}.mean"]) / fact[f"{n}.std"] for n, one in filled.items()}
    made["long"] = (logs - fact["long.mean"]) / fact["long.std"]
    bounds = [fact[f"cut{i}"] for i in range(1, 16)]
    made["bucket"] = pl.col("long").cut(bounds, labels=[str(i) for i in range(16)]).to_physical()
    made["count"] = (pl.col("count") - fact["count.mean"]) / fact["count.std"]
    for word, table_of in zip(words, tables, strict=True):
        order = table_of[word].to_list()
        made[word] = pl.col(word).replace_strict(order, list(range(len(order))), default=-1)
    made["paid"] = pl.col("paid")
    made["day_of_week"], made["hour"] = pl.col("at").dt.weekday() - 1, pl.col("at").dt.hour()
    made["label"] = pl.col("label") == "yes"
    rows.select(**made).sink_parquet(folder / "polars.parquet", compression="zstd")


def pandas_job(folder: Path) -> None:
    """The same job as the stage."""
    target = folder / "pandas-job"
    target.mkdir(exist_ok=True)
    frame = pd.read_csv(folder / "rows.csv", parse_dates=["at"], dtype={"code": "str"})
    frame = frame.dropna(subset=["label"]).drop_duplicates()
    place = np.random.default_rng(0).random(len(frame))
    splits = {name: frame[(place >= low) & (place < high)] for name, (low, high) in SHARES.items()}
    train = splits["train"]
    facts: dict[str, Any] = {
        name: train[name].agg(["median", "mean", "std"]).to_dict() for name in NUMBERS
    }
    facts["long"] |= {"log": float(np.log1p(train["long"]).mean())}
    facts["long"] |= {"cuts": train["long"].quantile(np.arange(1, 16) / 16).tolist()}
    facts |= {name: train[name].value_counts().to_dict() for name in WORDS}
    (target / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
    for name, rows in splits.items():
        rows.to_parquet(target / f"{name}.parquet", compression="zstd", index=False)


def polars_job(folder: Path) -> None:
    """The same job as the stage, by Polars' streaming engine."""
    import polars as pl

    target = folder / "polars-job"
    target.mkdir(exist_ok=True)
    read = pl.scan_csv(
        folder / "rows.csv",
        try_parse_dates=True,
        null_values=["nan"],
        schema_overrides={"code": pl.String},
    )
    place = pl.struct(pl.all()).hash(seed=0) / 2**64
    unique = read.drop_nulls("label").unique(maintain_order=True).with_columns(place=place)
    unique.sink_parquet(target / "unique.parquet", compression="zstd")
    rows = pl.scan_parquet(target / "unique.parquet")
    low, high = SHARES["train"]
    train = rows.filter(pl.col("place").is_between(low, high, closed="left"))
    known = train.select(
        *(pl.col(n).median().alias(f"{n}.median") for n in NUMBERS),
        *(pl.col(n).mean().alias(f"{n}.mean") for n in NUMBERS),
        *(pl.col(n).std().alias(f"{n}.std") for n in NUMBERS),
        *(pl.col("long").quantile(i / 16).alias(f"cut{i}") for i in range(1, 16)),
        pl.col("long").log1p().mean().alias("log"),
    )
    counted = [train.group_by(word).len() for word in WORDS]
    first, *tables = pl.collect_all([known, *counted], engine="streaming")
    facts = {
        **first.row(0, named=True),
        **{t.columns[0]: t.to_dict(as_series=False) for t in tables},
    }
    (target / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
    for name, (low, high) in SHARES.items():
        mine = rows.filter(pl.col("place").is_between(low, high, closed="left"))
        mine.drop("place").sink_parquet(target / f"{name}.parquet", compression="zstd")
