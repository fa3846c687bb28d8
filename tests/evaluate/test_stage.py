"""The whole stage on small trained models: files, verdicts, champion, and bad input."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as reference

from pipeline.core.errors import DataError, PipelineError
from pipeline.core.model import load_model, predict
from pipeline.core.records import LABEL
from pipeline.core.saved_model import write_saved_model
from pipeline.core.schema import flatten
from pipeline.core.tracking import TrackingConfig, open_registry
from pipeline.core.tracking_registry import SAVED_MODEL
from pipeline.evaluate import STAGE
from pipeline.evaluate.catalog import of_task
from pipeline.evaluate.points import MOST_POINTS
from tests.evaluate.conftest import Workshop, record, trained_model

PICTURES = {
    "binary": {"confusion_matrix", "roc", "precision_recall", "calibration", "scores", "slices"},
    "multiclass": {
        "confusion_matrix",
        "roc",
        "precision_recall",
        "calibration",
        "scores",
        "slices",
    },
    "regression": {"predicted_vs_actual", "residuals", "slices"},
}


def metrics(workshop: Workshop) -> dict:
    return json.loads(workshop.artifacts.metrics.read_text(encoding="utf-8"))


def journal(workshop: Workshop) -> list[dict]:
    text = (workshop.artifacts.root / "journal" / "evaluate.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def evaluated(any_workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Each task, evaluated once."""
    task = any_workshop.features.label.task
    done = any_workshop.copy(tmp_path_factory.mktemp(f"evaluated-{task}") / "project")
    done.evaluate()
    return done


def test_metrics_are_those_of_the_model_on_the_test_split(evaluated):
    found, features = metrics(evaluated), evaluated.features
    test = evaluated.artifacts.split("test").read()
    scores = predict(load_model(evaluated.artifacts.model), test, features)
    labels = test[LABEL].to_numpy()
    name, expected = {
        "binary": lambda: ("auc", reference.roc_auc_score(labels, scores[:, -1])),
        "multiclass": lambda: (
            "accuracy",
            reference.accuracy_score(labels, scores.argmax(axis=1)),
        ),
        "regression": lambda: ("r2", reference.r2_score(labels, scores)),
    }[features.label.task]()
    assert found["test"][name] == pytest.approx(expected, rel=1e-5)
    assert found["test"][f"{name}_low"] < found["test"][name] < found["test"][f"{name}_high"]
    assert found["test"]["rows"] == len(test) == 400
    assert found["validation"]["rows"] == 300


def test_metrics_have_stable_keys_and_finite_numbers(evaluated):
    found, task = metrics(evaluated), evaluated.features.label.task
    names = {metric.name for metric in of_task(task)}
    keys = {"rows"} | {f"{name}{end}" for name in names for end in ("", "_low", "_high")}
    assert set(found["test"]) == set(found["validation"]) == keys
    assert set(found["baseline"]) == set(found["difference"]) == {"trivial", "linear"}
    assert all(math.isfinite(number) for number in flatten(found).values() if number != {})
    assert found["efficiency"]["latency_one_row_p50_ms"] > 0
    assert found["efficiency"]["model_bytes"] == evaluated.artifacts.model.stat().st_size
    assert sum(found["classes"]["test"].values()) == (0 if task == "regression" else 400)


def test_scores_are_the_few_numbers_of_a_table(evaluated):
    found, task = metrics(evaluated), evaluated.features.label.task
    scores = json.loads(evaluated.artifacts.scores.read_text(encoding="utf-8"))
    assert {metric.name for metric in of_task(task)} < set(scores["test"])
    assert scores["test"].items() <= found["test"].items()
    headline = {"binary": "auc", "multiclass": "accuracy", "regression": "mae"}[task]
    assert scores["rival"]["linear"] == {headline: found["baseline"]["linear"][headline]}
    assert set(scores["cost"]) == {"training_seconds", "latency_one_row_p50_ms", "model_bytes"}
    assert len(flatten(scores)) < 25


def test_the_model_gains_on_both_baselines_on_the_same_rows(evaluated):
    found = metrics(evaluated)
    name = {"binary": "auc", "multiclass": "auc_ovr", "regression": "r2"}
    metric = name[evaluated.features.label.task]
    for rival in ("trivial", "linear"):
        difference = found["difference"][rival]
        gap = found["test"][metric] - found["baseline"][rival][metric]
        assert difference[metric] == pytest.approx(gap, abs=2e-5)
        assert difference[f"{metric}_low"] > 0


def test_slices_stand_under_column_and_value(evaluated):
    found = metrics(evaluated)["slices"]
    assert set(found) == {"city"}
    assert {"Oslo", "Łódź", "$x^"} <= set(found["city"])
    assert all(30 <= slice_["rows"] < 400 for slice_ in found["city"].values())


def test_every_picture_has_its_points(evaluated):
    folder = evaluated.artifacts.evaluation_plots.path
    expected = PICTURES[evaluated.features.label.task]
    assert {path.stem for path in folder.glob("*.png")} == expected
    assert {path.stem for path in folder.glob("*.csv")} == expected
    for path in folder.glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.stat().st_size > 5_000
    for path in folder.glob("*.csv"):
        assert 1 <= len(pd.read_csv(path)) <= MOST_POINTS


def test_the_journal_tells_metrics_verdict_and_files(evaluated):
    story = journal(evaluated)
    numbers = next(entry["value"]["values"] for entry in story if entry["kind"] == "metrics")
    tags = next(entry["value"] for entry in story if entry["kind"] == "tags")
    files = {Path(entry["value"]["path"]).name for entry in story if entry["kind"] == "artifact"}
    assert tags == {"verdict": "VALIDATED", "champion": "none"}
    assert files == {"metrics.json", "verdict.json", "plots"}
    assert "test.rows" in numbers
    assert not any("Oslo" in name for name in numbers)


def test_the_verdict_names_the_model_and_every_check(evaluated):
    verdict = evaluated.artifacts.verdict.read()
    assert (verdict.verdict, verdict.model_hash, verdict.reasons) == ("VALIDATED", "abc", ())
    assert {"absolute", "efficiency"} == {check.kind for check in verdict.checks}


def test_nothing_is_left_behind_in_the_process(binary, capsys):
    before = dict(mpl.rcParams), np.random.get_state()[1].tolist()
    binary.evaluate()
    assert (dict(mpl.rcParams), np.random.get_state()[1].tolist()) == before
    said = capsys.readouterr().out
    assert "AUC" in said
    assert "VALIDATED: 3 of 3 checks kept" in said


def test_the_same_model_is_measured_the_same_but_for_the_clock(binary, tmp_path):
    again = binary.copy(tmp_path / "again")
    binary.evaluate()
    again.evaluate()
    first, second = metrics(binary), metrics(again)
    del first["efficiency"], second["efficiency"]
    assert first == second


def test_a_refused_model_ends_the_stage_well_and_says_why(binary, capsys):
    binary.evaluate(
        thresholds={
            "auc": {"min": 0.999, "gain_over_linear": 0.5, "slice_min": 0.99},
            "model_bytes": {"max": 1},
        }
    )
    verdict = binary.artifacts.verdict.read()
    assert verdict.verdict == "REJECTED"
    kinds = {check.kind for check in verdict.checks if not check.passed}
    assert kinds == {"absolute", "baseline", "slice", "efficiency"}
    said = capsys.readouterr().out
    assert "REJECTED" in said
    assert all(reason in said for reason in verdict.reasons)
    assert [e["value"]["verdict"] for e in journal(binary) if e["kind"] == "tags"] == ["REJECTED"]


def test_slices_may_be_numbers_and_ids_and_several_metrics(binary):
    slices = {"columns": ["row", "city"], "automatic_columns": 0, "values": 2, "min_rows": 30}
    binary.evaluate(slices=slices, thresholds={"log_loss": {"slice_gap": 5.0}})
    found = metrics(binary)["slices"]
    assert set(found) == {"row", "city"}
    assert len(found["city"]) == 2
    assert set(found["city"]["Oslo"]) >= {"rows", "auc", "log_loss", "log_loss_low"}
    assert {check.slice for check in binary.artifacts.verdict.read().checks} >= {"city=Oslo"}


def test_no_slices_at_all(binary):
    binary.evaluate(slices={"columns": [], "automatic_columns": 0, "values": 1, "min_rows": 1})
    assert metrics(binary)["slices"] == {}
    assert (binary.artifacts.evaluation_plots.path / "slices.png").exists()


def test_one_class_in_the_test_split_is_measured_and_refused(binary):
    test = binary.artifacts.split("test").read()
    binary.artifacts.split("test").write(test[test[LABEL] == 0])
    binary.evaluate()
    found, verdict = metrics(binary), binary.artifacts.verdict.read()
    assert "auc" not in found["test"]
    assert found["test"]["log_loss"] > 0
    assert verdict.verdict == "REJECTED"
    assert verdict.reasons[0].startswith("auc is undefined on these rows")


def test_constant_scores_are_measured(binary):
    model = load_model(binary.artifacts.model)
    model.core.set_weights([np.zeros_like(weights) for weights in model.core.get_weights()])
    model.save(binary.artifacts.model)
    binary.evaluate()
    assert metrics(binary)["test"]["auc"] == 0.5
    assert metrics(binary)["slices"]["city"]["Oslo"]["auc"] == 0.5


def test_an_empty_validation_split_is_passed_over(binary):
    validation = binary.artifacts.split("validation").read()
    binary.artifacts.split("validation").write(validation.head(0))
    binary.evaluate()
    assert metrics(binary)["validation"] == {"rows": 0}


def test_two_rows_are_enough_to_run(binary):
    test = binary.artifacts.split("test").read()
    rows = test.groupby(LABEL).head(1)
    binary.artifacts.split("test").write(rows)
    binary.evaluate()
    assert metrics(binary)["test"]["rows"] == 2


def nothing_written(workshop: Workshop) -> bool:
    return not (workshop.artifacts.root / "models" / "evaluation").exists()


def test_an_empty_test_split_is_refused(binary):
    test = binary.artifacts.split("test").read()
    binary.artifacts.split("test").write(test.head(0))
    with pytest.raises(DataError, match="the test split has no rows"):
        binary.evaluate()
    assert nothing_written(binary)


def test_nan_scores_are_refused_and_nothing_is_written(binary):
    model = load_model(binary.artifacts.model)
    weights = model.core.get_weights()
    weights[-1] = np.full_like(weights[-1], np.nan)
    model.core.set_weights(weights)
    model.save(binary.artifacts.model)
    with pytest.raises(PipelineError, match="NaN or infinite scores for 400 of 400 rows"):
        binary.evaluate()
    assert nothing_written(binary)


def test_a_missing_model_says_what_to_run(binary):
    binary.artifacts.model.unlink()
    with pytest.raises(PipelineError, match=r"model\.keras does not exist(?s:.*)pipeline run"):
        binary.evaluate()


@pytest.fixture(scope="module")
def with_champion(trained_binary: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """A project whose registry has a well trained champion, and a fresh model that is as good."""
    workshop = trained_binary.copy(tmp_path_factory.mktemp("champion") / "project")
    root = workshop.artifacts.root
    model = load_model(workshop.artifacts.model)
    folder = root / "packed"
    write_saved_model(model, workshop.features, folder / "artifacts" / SAVED_MODEL, 1)
    registry = open_registry(root, tracking(workshop))
    version = registry.add("toy", folder, None, {"model_hash": "champion"})
    registry.set_alias("toy", "champion", version.version)
    return workshop


def tracking(workshop: Workshop) -> TrackingConfig:
    return TrackingConfig(kind="sqlite", experiment="toy")


def in_registry(workshop: Workshop):
    return replace(workshop.context, tracking=tracking(workshop))


def test_the_champion_is_asked_about_the_same_rows(with_champion, capsys):
    with_champion.evaluate(in_registry(with_champion))
    found, verdict = metrics(with_champion), with_champion.artifacts.verdict.read()
    assert verdict.champion_version == found["champion"]["version"] == 1
    assert found["champion"]["auc"] == pytest.approx(found["test"]["auc"], abs=1e-5)
    assert found["difference"]["champion"]["auc"] == pytest.approx(0, abs=1e-5)
    assert "auc.gain_over_champion" in {check.name for check in verdict.checks}
    assert verdict.verdict == "VALIDATED"
    assert "v1" in capsys.readouterr().out
    curves = pd.read_csv(with_champion.artifacts.evaluation_plots.path / "roc.csv").columns
    assert list(curves) == ["false_positive_rate", "champion", "linear", "model"]


def test_a_model_that_is_worse_than_the_champion_is_refused(with_champion, tmp_path):
    worse = with_champion.copy(tmp_path / "worse")
    train = worse.artifacts.split("train").read()
    model = trained_model(worse.features, train.assign(x=-train["x"], u=0.0), epochs=1)
    model.save(worse.artifacts.model)
    worse.evaluate(in_registry(with_champion), thresholds={"auc": {"gain_over_champion": -0.005}})
    verdict = worse.artifacts.verdict.read()
    assert verdict.verdict == "REJECTED"
    assert verdict.reasons[0].startswith("auc: the gain over the champion 1 is -0.")


def test_a_champion_that_needs_other_columns_is_not_compared(with_champion, tmp_path, capsys):
    changed = with_champion.copy(tmp_path / "changed")
    for split in ("train", "validation", "test"):
        frame = changed.artifacts.split(split).read()
        changed.artifacts.split(split).write(frame.drop(columns="u"))
    features = replace(
        changed.features,
        columns=changed.features.columns[::2],
        features=changed.features.features[::2],
    )
    changed.artifacts.features.write(features)
    train = changed.artifacts.split("train").read()
    trained_model(features, train, epochs=1).save(changed.artifacts.model)
    changed.evaluate(in_registry(with_champion))
    verdict = changed.artifacts.verdict.read()
    assert verdict.champion_version is None
    assert metrics(changed)["champion"] == {}
    said = capsys.readouterr().out
    assert "champion version 1 is not compared: it needs columns that are gone: u" in said


def test_the_champion_itself_is_not_compared_with_itself(with_champion, tmp_path, capsys):
    same = with_champion.copy(tmp_path / "same")
    same.artifacts.training.write(record(100, model_hash="champion"))
    same.evaluate(in_registry(with_champion), thresholds={"auc": {"gain_over_champion": 0.1}})
    assert same.artifacts.verdict.read().verdict == "VALIDATED"
    assert "the champion, version 1, is this very model" in capsys.readouterr().out


def test_a_registry_without_champion_is_no_obstacle(with_champion, binary, capsys):
    context = replace(binary.context, root=with_champion.artifacts.root)
    other = replace(tracking(binary), experiment="toy")
    binary.evaluate(replace(context, tracking=other), name="unknown")
    assert "no champion yet" in capsys.readouterr().out


def test_the_stage_names_what_it_reads_and_writes():
    assert STAGE.params == {"evaluate": "evaluate", "name": "register.name"}
    assert STAGE.metrics == ("models/evaluation/scores.json",)
    assert STAGE.records == ("models/evaluation/metrics.json",)
    assert STAGE.outs == ("models/evaluation/plots", "models/evaluation/verdict.json")
