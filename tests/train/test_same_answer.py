"""Two processes with half a batch each give the answer of one with the whole batch.

The data order is the same by construction; sums are taken in another order, so weights agree within
a tolerance and not bit for bit. Between the two processes they agree bit for bit.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.core.artifacts import Artifacts
from pipeline.core.errors import ConfigError
from pipeline.core.model import core_of, load_model
from pipeline.train.core import build_core, require_whole_steps
from tests.train.crew import train_in_crew
from tests.train.worlds import context, features, processed, settings, train

PLAIN = {"model__dropout": 0.0, "model__input_dropout": 0.0}
CASES: dict[str, tuple[str, str, dict[str, Any], float]] = {
    # 600 rows in batches of 64: the last batch of an epoch takes rows of the next one.
    "clipped, weighted classes, from disk": (
        "binary",
        "wide_deep",
        {
            "train__class_weights": "balanced",
            "train__optimizer__clip_norm": 0.05,
            "train__input": "stream",
        },
        1e-5,
    ),
    "batch normalisation, nothing clipped": (
        "multiclass",
        "mlp",
        {
            "model__batch_normalization": True,
            "train__label_smoothing": 0.1,
            "train__optimizer__clip_norm": None,
            # The gradient of a bias before it is zero but for rounding, which Adam would scale up.
            "train__optimizer__epsilon": 1e-3,
        },
        1e-4,
    ),
    "accumulated, stopped early": (
        "regression",
        "wide_deep",
        {
            "train__gradient_accumulation": 4,
            "train__epochs": 8,
            "train__early_stopping__patience": 1,
            "train__early_stopping__min_delta": 0.2,
        },
        1e-5,
    ),
    "sgd, an odd number of rows": (
        "binary",
        "mlp",
        {"train__optimizer__name": "sgd"},
        1e-5,
    ),
    "compiled by XLA": ("binary", "wide_deep", {"train__jit_compile": True}, 1e-5),
    "mixed, noised and resampled from disk": (
        "multiclass",
        "mlp",
        {
            "train__input": "stream",
            "train__augment__mixup": 0.3,
            "train__augment__noise": 0.1,
            "train__augment__resample": "over",
        },
        1e-4,
    ),
    "mixed precision": ("binary", "mlp", {"train__precision": "mixed_float16"}, 5e-3),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Artifacts, Artifacts]]:
    """Each case, trained by one process and by two."""
    folder = tmp_path_factory.mktemp("crew")
    pairs, jobs = {}, []
    for number, (name, (task, model, changes, _)) in enumerate(CASES.items()):
        one = processed(folder / f"one-{number}", task)
        two = processed(folder / f"two-{number}", task)
        if "odd" in name:
            for artifacts in (one, two):
                rows = artifacts.split("train").read().iloc[:-1]
                artifacts.split("train").write(rows)
        train(one, model, **PLAIN, **changes)
        jobs.append({"root": str(two.root), "model": model, "changes": {**PLAIN, **changes}})
        pairs[name] = (one, two)
    train_in_crew(folder, jobs)
    return pairs


def losses(artifacts: Artifacts) -> np.ndarray:
    with artifacts.history.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return np.array([[float(row["loss"]), float(row["val_loss"])] for row in rows])


def weights(artifacts: Artifacts) -> np.ndarray:
    core = core_of(load_model(artifacts.model))
    return np.concatenate([weight.ravel() for weight in core.get_weights()])


@pytest.mark.parametrize("name", CASES)
def test_two_processes_give_the_answer_of_one(
    trained: dict[str, tuple[Artifacts, Artifacts]], name: str
) -> None:
    one, two = trained[name]
    tolerance = CASES[name][3]
    np.testing.assert_allclose(losses(two), losses(one), atol=tolerance)
    np.testing.assert_allclose(weights(two), weights(one), atol=10 * tolerance)


@pytest.mark.parametrize("name", CASES)
def test_both_processes_hold_the_same_weights_and_stop_together(
    trained: dict[str, tuple[Artifacts, Artifacts]], name: str
) -> None:
    root: Path = trained[name][1].root
    chief, other = (json.loads((root / f"crew-{i}.json").read_text()) for i in range(2))
    assert chief == other
    if "stopped early" in name:
        assert 1 < chief["epochs"] < 8


def test_the_pace_of_both_is_on_the_card_and_in_the_journal(
    trained: dict[str, tuple[Artifacts, Artifacts]],
) -> None:
    two = trained["accumulated, stopped early"][1]
    card = two.training_card.read_text(encoding="utf-8")
    assert "A step of each worker" in card
    assert "<td>1</td>" in card.partition("when not waiting for the others")[2]
    told = context(two.root).journal.path.read_text(encoding="utf-8")
    for name in ("balance", "worker_0.examples_per_second", "worker_1.others_share"):
        assert f'"{name}"' in told


def test_xla_gives_the_answer_of_a_step_that_is_not_compiled(
    trained: dict[str, tuple[Artifacts, Artifacts]], tmp_path: Path
) -> None:
    plain = processed(tmp_path, "binary")
    train(plain, "wide_deep", **PLAIN)
    compiled = trained["compiled by XLA"][0]
    np.testing.assert_allclose(losses(compiled), losses(plain), atol=1e-5)
    np.testing.assert_allclose(weights(compiled), weights(plain), atol=1e-4)


@pytest.mark.parametrize(
    "option", [{"train__jit_compile": True}, {"train__gradient_accumulation": 2}]
)
def test_layers_that_ask_other_replicas_are_not_cut_out_of_the_step(
    option: dict[str, Any],
) -> None:
    """What TensorFlow would refuse in the midst of tracing is refused before."""
    config = settings("mlp", model__batch_normalization=True, **option)
    core = build_core(config, features("binary"))
    require_whole_steps(core, config.train, replicas=1)
    name = next(iter(option)).replace("__", ".")
    with pytest.raises(ConfigError, match=rf"(?s)mean over 2 replicas.*{name}.*one_device"):
        require_whole_steps(core, config.train, replicas=2)


@pytest.mark.slow
def test_mirrored_devices_give_the_answer_of_one(tmp_path: Path) -> None:
    changes = {**PLAIN, "train__optimizer__clip_norm": 0.05}
    one, two = (processed(tmp_path / name, "binary") for name in ("one", "two"))
    train(one, "wide_deep", **changes)
    train(two, "wide_deep", strategy__name="mirrored", strategy__logical_devices=2, **changes)
    np.testing.assert_allclose(losses(two), losses(one), atol=1e-5)
    np.testing.assert_allclose(weights(two), weights(one), atol=1e-4)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_gpus_give_the_answer_of_a_cpu(tmp_path: Path, precision: str) -> None:
    """Every GPU there is, against two logical devices of the CPU."""
    gpus = len(tf.config.list_physical_devices("GPU"))
    if not gpus:
        pytest.skip("TensorFlow sees no GPU")
    changes = {**PLAIN, "train__precision": precision, "train__jit_compile": True}
    cpu, gpu = (processed(tmp_path / name, "binary") for name in ("cpu", "gpu"))
    train(cpu, "wide_deep", strategy__name="mirrored", strategy__logical_devices=2, **changes)
    train(gpu, "wide_deep", strategy__name="mirrored" if gpus > 1 else "one_device", **changes)
    tolerance = 1e-3 if precision == "float32" else 1e-1
    np.testing.assert_allclose(losses(gpu), losses(cpu), atol=tolerance)
