"""The real stage on small data: what it leaves behind, twice the same, and what stops it."""

from __future__ import annotations

import csv
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest

from pipeline.core.artifacts import PROCESSED, STATE, TRAINED, Artifacts
from pipeline.core.encoding import encode
from pipeline.core.errors import ConfigError, DataError, PipelineError
from pipeline.core.model import core_of, load_model, predict, predict_encoded
from pipeline.core.records import LABEL
from pipeline.train import STAGE, checkpoint, watch
from pipeline.train.results import model_hash
from pipeline.train.watch import TrainingDivergedError
from tests.train.worlds import REPOSITORY, context, frame, params, processed, settings, train

TASKS = ("binary", "multiclass", "regression")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifacts]:
    """One trained model for each task."""
    done = {}
    for task in TASKS:
        done[task] = processed(tmp_path_factory.mktemp(task), task)
        train(
            done[task],
            "wide_deep",
            train__epochs=4,
            train__early_stopping__patience=None,
            train__tensorboard=task == "binary",
        )
    return done


def history(artifacts: Artifacts) -> list[dict[str, str]]:
    with artifacts.history.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("task", "metrics"),
    [
        ("binary", ["val_loss", "val_accuracy", "val_auc"]),
        ("multiclass", ["val_loss", "val_accuracy"]),
        ("regression", ["val_loss", "val_mae", "val_rmse"]),
    ],
)
def test_the_history_has_a_line_an_epoch(
    trained: dict[str, Artifacts], task: str, metrics: list[str]
) -> None:
    lines = history(trained[task])
    assert list(lines[0]) == ["epoch", "learning_rate", "loss", *metrics]
    assert [line["epoch"] for line in lines] == ["0", "1", "2", "3"]
    rates = [float(line["learning_rate"]) for line in lines]
    assert rates == sorted(rates, reverse=True)


@pytest.mark.parametrize("task", TASKS)
def test_the_record_agrees_with_the_model_and_the_history(
    trained: dict[str, Artifacts], task: str
) -> None:
    artifacts = trained[task]
    record, model = artifacts.training.read(), load_model(artifacts.model)
    core = core_of(model)
    assert record.model == "wide_deep"
    assert record.model_hash == model_hash(artifacts.features.read(), core)
    assert record.parameters == core.count_params()
    assert record.epochs == len(history(artifacts)) == 4
    losses = [float(line["val_loss"]) for line in history(artifacts)]
    assert record.validation_loss == min(losses) == losses[record.best_epoch]
    assert record.examples_per_second > 0
    assert record.peak_memory_bytes > 50e6


@pytest.mark.parametrize("task", TASKS)
def test_raw_columns_give_what_encoded_ones_give(trained: dict[str, Artifacts], task: str) -> None:
    artifacts = trained[task]
    model, features = load_model(artifacts.model), artifacts.features.read()
    rows = artifacts.split("test").read()
    scores = predict(model, rows, features)
    np.testing.assert_allclose(scores, predict_encoded(model, encode(rows, features)), atol=1e-6)
    assert scores.shape == {"binary": (200, 2), "multiclass": (200, 3), "regression": (200,)}[task]


def test_a_fresh_process_answers_the_same_without_this_room(
    trained: dict[str, Artifacts], tmp_path: Path
) -> None:
    artifacts = trained["multiclass"]
    code = textwrap.dedent(
        f"""
        import sys, pathlib, numpy
        from pipeline.core.artifacts import Artifacts
        from pipeline.core.model import load_model, predict
        artifacts = Artifacts(pathlib.Path({str(artifacts.root)!r}))
        rows = artifacts.split("test").read()
        scores = predict(load_model(artifacts.model), rows, artifacts.features.read())
        assert not [name for name in sys.modules if name.startswith("pipeline.train")]
        numpy.save({str(tmp_path / "scores.npy")!r}, scores)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    rows, features = artifacts.split("test").read(), artifacts.features.read()
    here = predict(load_model(artifacts.model), rows, features)
    np.testing.assert_array_equal(np.load(tmp_path / "scores.npy"), here)


def test_curves_go_to_the_journal_and_to_tensorboard(trained: dict[str, Artifacts]) -> None:
    root = trained["binary"].root
    lines = context(root).journal.path.read_text(encoding="utf-8")
    assert lines.count('"val_auc"') == 4
    assert lines.count('"system/cpu_utilization_percentage"') == 4
    assert '"train.optimizer.learning_rate"' in lines
    assert list((root / STATE / "tensorboard").rglob("events.*"))
    assert not (trained["regression"].root / STATE / "tensorboard").exists()


def weights(artifacts: Artifacts) -> np.ndarray:
    core = core_of(load_model(artifacts.model))
    return np.concatenate([weight.ravel() for weight in core.get_weights()])


def test_two_runs_give_the_same_bits_and_another_seed_does_not(tmp_path: Path) -> None:
    # Batch size and width differ from other tests', so nothing is left over from them.
    found = []
    for name, seed in (("one", 3), ("again", 3), ("other", 4)):
        artifacts = processed(tmp_path / name, "binary")
        train(artifacts, "dcn", train__seed=seed, model__dropout=0.3)
        found.append((weights(artifacts), artifacts.training.read().model_hash))
    one, again, other = found
    np.testing.assert_array_equal(one[0], again[0])
    assert one[1] == again[1]
    assert one[1] != other[1]


def test_steps_per_call_change_nothing_but_speed(tmp_path: Path) -> None:
    found = []
    for name, steps in (("one", 1), ("five", 5)):  # ten steps an epoch: equal epochs in both
        artifacts = processed(tmp_path / name, "binary")
        train(artifacts, "linear", train__steps_per_execution=steps, train__epochs=2)
        found.append(weights(artifacts))
    np.testing.assert_array_equal(*found)


def test_the_loss_on_a_fixed_problem_stays_what_it_was(tmp_path: Path) -> None:
    artifacts = processed(tmp_path, "multiclass")
    fixed: dict[str, Any] = {
        "train__seed": 1,
        "train__epochs": 3,
        "train__optimizer__name": "adam",
        "train__optimizer__learning_rate": 0.01,
        "train__optimizer__weight_decay": 0.0,
        "train__optimizer__clip_norm": None,
        "train__schedule__name": "constant",
        "train__schedule__warmup_fraction": 0.0,
        "model__l2": 0.0,
    }
    train(artifacts, "linear", **fixed)
    losses = [float(line["val_loss"]) for line in history(artifacts)]
    np.testing.assert_allclose(losses, GOLDEN, atol=2e-4)


GOLDEN = [1.05632, 0.91695, 0.79402]
"""Validation losses of the first three epochs, recorded once."""


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_and_leaves_no_policy_behind(tmp_path: Path, precision: str) -> None:
    artifacts = processed(tmp_path, "binary")
    train(artifacts, "mlp", train__precision=precision, train__epochs=2)
    assert keras.config.dtype_policy().name == "float32"
    model = load_model(artifacts.model)
    policies = {layer.dtype_policy.name for layer in core_of(model).layers}
    assert precision in policies
    scores = predict(model, artifacts.split("test").read(), artifacts.features.read())
    assert scores.dtype == np.float32
    assert weights(artifacts).dtype == np.float32


def test_class_weights_move_answers_to_the_heavy_class(tmp_path: Path) -> None:
    shares = []
    for name, choice in (("plain", "none"), ("heavy", {"no": 1.0, "yes": 20.0})):
        artifacts = processed(tmp_path / name, "binary")
        rate = {"train__optimizer__learning_rate": 0.05}
        train(artifacts, "linear", train__class_weights=choice, **rate)
        rows, features = artifacts.split("test").read(), artifacts.features.read()
        shares.append(predict(load_model(artifacts.model), rows, features)[:, 1].mean())
    assert shares[1] > shares[0] + 0.1


def test_a_model_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = '''
        """A model outside the package."""
        from typing import Literal
        from pipeline.core.schema import config

        @config
        class CONFIG:
            name: Literal["tower"]
            """Its name."""
            width: int
            """Its width."""

        def build(features, config):
            import keras
            given = {
                "dense": keras.Input((len(features.dense_names),), name="dense"),
                "indices": keras.Input((1,), dtype="int32", name="indices"),
            }
            hidden = keras.layers.Dense(config.width, name="hidden")(given["dense"])
            return keras.Model(given, keras.layers.Dense(OUTPUTS, name="output")(hidden))
    '''
    (tmp_path / "own_models").mkdir()
    for name, outputs in (("tower", 1), ("wrong", 5)):
        text = textwrap.dedent(source).replace("OUTPUTS", str(outputs))
        (tmp_path / "own_models" / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    artifacts = processed(tmp_path / "project", "binary")

    def run(module: str, **options: object) -> None:
        sections = params(train__allowed_targets=["own_models"], train__epochs=1)
        sections["model"] = {"name": "tower", "_target_": f"own_models.{module}.build", **options}
        STAGE.load()(STAGE.configure(sections), artifacts, context(artifacts.root))

    run("tower", width=4)
    assert artifacts.training.read().model == "tower"
    assert load_model(artifacts.model)
    with pytest.raises(ConfigError, match=r"unknown config key 'model.depth'"):
        run("tower", width=4, depth=2)
    with pytest.raises(ConfigError, match=r"(?s)shape \(None, 5\).*\(None, 1\)"):
        run("wrong", width=4)


def untouched(artifacts: Artifacts) -> dict[str, bytes]:
    return {
        str(path.relative_to(artifacts.root)): path.read_bytes()
        for path in sorted((artifacts.root / "models").rglob("*"))
        if path.is_file()
    }


def test_a_loss_that_explodes_stops_training_and_leaves_the_last_model(tmp_path: Path) -> None:
    artifacts = processed(tmp_path, "regression")
    train(artifacts, "linear", train__epochs=1)
    before = untouched(artifacts)
    wild = {
        "train__optimizer__name": "sgd",
        "train__optimizer__learning_rate": 1e12,
        "train__optimizer__clip_norm": None,
        "train__schedule__warmup_fraction": 0.0,
    }
    with pytest.raises(
        TrainingDivergedError, match=r"(?s)in step 1 of epoch 0.*learning_rate"
    ) as caught:
        train(artifacts, "mlp", **wild)
    assert caught.value.exit_code == 1
    assert untouched(artifacts) == before
    assert len(before) == 4


def test_an_interrupt_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    artifacts = processed(tmp_path, "binary")
    monkeypatch.setattr(watch.EpochWatch, "on_epoch_end", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(artifacts, "linear")
    assert not (artifacts.root / "models").exists() or not untouched(artifacts)
    monkeypatch.undo()
    train(artifacts, "linear", train__epochs=1)
    assert artifacts.training.read().epochs == 1


AUGMENTED = {"train__augment__noise": 0.2, "train__augment__mixup": 0.2}


@pytest.mark.parametrize(
    # At the end of an epoch, in the middle of one, and there with rows that are made up.
    ("dies_at", "changes"),
    [(20, {}), (25, {}), (25, AUGMENTED)],
)
def test_an_interrupted_training_ends_with_the_bits_of_an_undisturbed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_at: int, changes: dict[str, Any]
) -> None:
    options: dict[str, Any] = {
        "train__epochs": 4,
        "train__steps_per_execution": 5,
        "train__checkpoint__every_steps": 5,
        "model__dropout": 0.3,
        **changes,
    }
    undisturbed = processed(tmp_path / "undisturbed", "binary")
    train(undisturbed, "mlp", **options)

    artifacts = processed(tmp_path / "killed", "binary")
    save = checkpoint.Saver._save

    def save_and_die(self: checkpoint.Saver, calls: int, *, stop: bool = False) -> None:
        save(self, calls, stop=stop)
        if self.saved_step == dies_at:
            raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(checkpoint.Saver, "_save", save_and_die)
        with pytest.raises(KeyboardInterrupt):
            train(artifacts, "mlp", **options)
    assert not (artifacts.root / TRAINED).exists()
    # Another training leaves this one's checkpoint alone, and does not take it up.
    train(artifacts, "mlp", **{**options, "train__epochs": 1, "train__seed": 9})
    assert artifacts.training.read().epochs == 1

    train(artifacts, "mlp", **options)
    np.testing.assert_array_equal(weights(artifacts), weights(undisturbed))
    ours, theirs = history(artifacts), history(undisturbed)
    assert ours == theirs
    assert not list((artifacts.root / STATE / "checkpoints" / "train").iterdir())


def test_missing_data_names_the_command_to_run(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"(?s)features.json does not exist.*pipeline run"):
        train(Artifacts(tmp_path))


def test_damaged_data_is_refused(tmp_path: Path) -> None:
    artifacts = processed(tmp_path, "binary")
    artifacts.split("train").path.write_bytes(b"PAR1 no more")
    with pytest.raises(PipelineError, match=r"(?s)train.parquet cannot be read.*Parquet"):
        train(artifacts)
    assert not (tmp_path / TRAINED).exists()


@pytest.mark.parametrize(
    ("split", "table", "message"),
    [
        (
            "train",
            frame("binary", 9, 0).assign(**{LABEL: 0}),
            "training rows are of the class 'no'",
        ),
        ("validation", frame("binary", 9, 0).iloc[:0], "validation split has no rows"),
    ],
)
def test_data_that_cannot_be_learnt_is_refused_before_training(
    tmp_path: Path, split: Any, table: pd.DataFrame, message: str
) -> None:
    artifacts = processed(tmp_path, "binary")
    artifacts.split(split).write(table)
    with pytest.raises(DataError, match=message):
        train(artifacts)
    assert not (tmp_path / TRAINED).exists()


def test_a_batch_larger_than_the_split_is_cut_to_it(tmp_path: Path) -> None:
    artifacts = processed(tmp_path, "binary")
    train(artifacts, "linear", train__global_batch_size=100_000, train__epochs=1)
    assert artifacts.training.read().epochs == 1


def test_the_stage_reads_the_processed_data_and_its_own_sections() -> None:
    assert STAGE.deps == (PROCESSED,)
    assert STAGE.outs == (TRAINED,)
    assert set(STAGE.params.values()) == {"train", "model", "strategy", "launcher"}
    assert settings().strategy.name == "one_device"
