"""What training leaves behind: the model, its history and its record, published together."""

from __future__ import annotations

import csv
import hashlib
import json
import math
from pathlib import Path

import keras

from pipeline.core import runtime
from pipeline.core.artifacts import Artifacts, Record
from pipeline.core.features import FeatureSet
from pipeline.core.model import end_to_end
from pipeline.core.records import TrainingRecord
from pipeline.core.schema import dump
from pipeline.train.fitting import Fitted
from pipeline.train.watch import Row


def model_hash(features: FeatureSet, core: keras.Model) -> str:
    """SHA-256, in hex, over the features and the core's weights in order.

    Equal features and weights give an equal hash, whenever and wherever they were saved: the
    bytes of a .keras file hold the time of saving. Names are left out, they say nothing.
    """
    digest = hashlib.sha256()
    digest.update(json.dumps(dump(features), sort_keys=True, ensure_ascii=False).encode("utf-8"))
    for weight in core.get_weights():
        digest.update(f"{weight.dtype.str}{weight.shape}".encode("ascii"))
        digest.update(weight.tobytes())
    return digest.hexdigest()


def publish(
    artifacts: Artifacts, features: FeatureSet, fitted: Fitted, model_name: str, warm_start: str
) -> TrainingRecord:
    """Writes model.keras, history.csv and training.json in one step; returns the last one."""
    kept = next(row for row in fitted.history if row["epoch"] == fitted.best_epoch)
    record = TrainingRecord(
        model_hash=model_hash(features, fitted.core),
        model=model_name,
        parameters=sum(math.prod(weight.shape) for weight in fitted.core.trainable_weights),
        epochs=len(fitted.history),
        best_epoch=fitted.best_epoch,
        seconds=fitted.seconds,
        examples_per_second=fitted.examples_per_second,
        peak_memory_bytes=runtime.peak_memory_bytes(),
        validation_loss=kept["val_loss"],
        warm_start=warm_start,
    )
    with artifacts.trained.publish() as folder:
        end_to_end(features, fitted.core).save(folder / artifacts.model.name)
        write_history(folder / artifacts.history.name, fitted.history)
        Record(folder / artifacts.training.path.name, TrainingRecord).write(record)
    return record


def write_history(path: Path, history: list[Row]) -> None:
    """One line an epoch, columns as the first epoch has them."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(history[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
