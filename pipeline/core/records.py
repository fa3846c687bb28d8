"""The small typed files that pass between stages: what each one says, field by field."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipeline.core.schema import config

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
LABEL = "__label__"
"""Column of the processed tables that holds the label: class index (int64) or value (float64)."""


@config
class FileFacts:
    """One source file or query that `ingest` read."""

    uri: str
    """Where it came from, without credentials."""
    sha256: str
    """SHA-256 of the bytes read, in hex; of the Arrow table for a query."""
    rows: int
    """Rows read from it."""
    dropped_rows: int = 0
    """Rows left out because they had more or fewer fields than the header."""
    broken_rows: int = 0
    """Rows with text of another encoding, left out or with missing values in its place."""
    files: dict[str, str] = Field(default_factory=dict)
    """Of a span of dated files, each file and its SHA-256; `sha256` is then that of this list."""
    empty_files: tuple[str, ...] = ()
    """Files of the span that had no row."""


@config
class SourceRecord:
    """What `ingest` brought in."""

    source: FileFacts
    """The main table."""
    joins: dict[str, FileFacts]
    """Each joined table by its name."""
    matched_fraction: dict[str, float]
    """Share of main rows that found a partner, by join, 0 to 1."""
    rows: int
    """Rows of the table written."""
    columns: tuple[str, ...]
    """Columns of the table written, in order."""
    sha256: str
    """SHA-256 of the Parquet file written, in hex."""
    pii_keys: dict[str, str] = Field(default_factory=dict)
    """By the variable that held it, a fingerprint of each key that values were hashed with."""


@config
class TrainingRecord:
    """What `train` did."""

    model_hash: str
    """SHA-256 over the features and the trained weights, in hex: equal models, equal hash."""
    model: str
    """Name of the builder."""
    parameters: int
    """Trainable parameters."""
    epochs: int
    """Epochs run."""
    best_epoch: int
    """Epoch whose weights were kept, from 0."""
    seconds: float
    """Wall time of `fit`."""
    examples_per_second: float
    """Training examples seen per second of `fit`."""
    peak_memory_bytes: int
    """Peak resident memory of the process while training."""
    validation_loss: float
    """Loss on the validation split with the weights kept."""
    warm_start: str = ""
    """Which earlier model its weights began with; empty where they began at random."""


@config
class Check:
    """One threshold held against one value."""

    name: str
    """Key of the threshold in the config."""
    metric: str
    """Name of the metric."""
    slice: str | None
    """`column=value`, or None for all rows."""
    kind: Literal["absolute", "champion", "baseline", "slice", "efficiency"]
    """What the value is held against."""
    greater_is_better: bool
    """Direction: the value must be at least (True) or at most (False) the bound."""
    bound: float
    """The bound, already worked out for relative thresholds."""
    value: float | None
    """What was measured; for gains and slices the end of the interval that decides; None where
    the metric is undefined on these rows, which fails the check."""
    passed: bool
    """Whether the value keeps the bound."""


@config
class Verdict:
    """The gate as a file."""

    verdict: Literal["VALIDATED", "REJECTED"]
    """VALIDATED when every check passed."""
    checks: tuple[Check, ...]
    """Every threshold, passed or not."""
    champion_version: int | None
    """Registry version compared with; None where there was no champion."""
    model_hash: str
    """The model judged."""
    reasons: tuple[str, ...]
    """One sentence for each check that failed."""


@config
class Registration:
    """Which registry version the trained model is."""

    name: str
    """Registered model name."""
    version: int | None
    """Registry version; None in a DVC experiment, which registers nothing."""
    model_hash: str
    """The model registered."""
    run_id: str | None
    """MLflow run that holds its files."""
    alias: Literal["champion", "challenger"] | None
    """The alias it was given when registered."""


@config
class ExportRecord:
    """What `export` published, and the proof that it answers as the trained model does."""

    name: str
    """Served model name."""
    version: int | None
    """Version folder under models/serving/NAME; None in a DVC experiment."""
    model_hash: str
    """The model exported."""
    rows_compared: int
    """Real rows sent through both roads."""
    largest_difference: float
    """Largest absolute difference of any score between the two roads."""
    tolerance: float
    """What was allowed."""
    bytes: int
    """Size of the version folder."""
    weight_bytes: int
    """Size of the variables alone."""
