"""What a prediction costs: time, bytes and memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf

from pipeline.core.features import FeatureSet
from pipeline.core.model import RawColumnsModel, tensors
from pipeline.core.records import TrainingRecord
from pipeline.evaluate.config import LatencyConfig

_WARM_CALLS = 3


def efficiency(
    model: RawColumnsModel,
    frame: pd.DataFrame,
    features: FeatureSet,
    config: LatencyConfig,
    *,
    training: TrainingRecord,
    model_file: Path,
) -> dict[str, float]:
    """Every figure of cost by its name in the catalogue.

    Args:
        model: End-to-end model.
        frame: Rows to predict, as processed; repeated where they do not fill a batch.
        features: The model's features.
        config: Calls and batch size.
        training: What training did and cost.
        model_file: The model as saved.
    """
    return {
        "training_seconds": training.seconds,
        "training_examples_per_second": training.examples_per_second,
        "training_peak_memory_bytes": training.peak_memory_bytes,
        "parameters": training.parameters,
        "model_bytes": model_file.stat().st_size,
        **latency(model, frame, features, config),
    }


def latency(
    model: RawColumnsModel, frame: pd.DataFrame, features: FeatureSet, config: LatencyConfig
) -> dict[str, float]:
    """Times predictions as a server makes them: one graph for any number of rows, warm.

    Only the call is timed, from raw tensors in memory to scores in memory: no network, no JSON.
    """
    rows = np.arange(config.batch_rows) % len(frame)
    batch = tensors(frame.iloc[rows].reset_index(drop=True), features)
    single = {name: tensor[:1] for name, tensor in batch.items()}
    one, many = (_seconds(model.graph(), raw, config.calls) for raw in (single, batch))
    return {
        "latency_one_row_p50_ms": 1e3 * float(np.quantile(one, 0.5)),
        "latency_one_row_p95_ms": 1e3 * float(np.quantile(one, 0.95)),
        "latency_batch_row_p50_us": 1e6 * float(np.quantile(many, 0.5)) / config.batch_rows,
        "latency_batch_row_p95_us": 1e6 * float(np.quantile(many, 0.95)) / config.batch_rows,
    }


def _seconds(
    graph: Callable[[Mapping[str, tf.Tensor]], tf.Tensor], raw: Mapping[str, tf.Tensor], calls: int
) -> list[float]:
    seconds = []
    for call in range(_WARM_CALLS + calls):
        started = time.perf_counter()
        graph(raw).numpy()
        if call >= _WARM_CALLS:
            seconds.append(time.perf_counter() - started)
    return seconds
