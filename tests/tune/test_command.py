"""`pipeline tune` on real data: what it leaves, the winner trained again, a kill mended."""

from __future__ import annotations

import csv
import json
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from pipeline.compose.overrides import record_overrides
from pipeline.core.errors import ConfigError
from pipeline.runner.tuning import tune
from tests.conftest import Project, make_project
from tests.stores import runs

pytestmark = pytest.mark.timeout(900)

SHARED = (
    "data=penguins",
    "train.epochs=3",
    "train.global_batch_size=32",
    "train.tensorboard=false",
)
SEARCH = (
    *SHARED,
    "tune.name=first",
    "tune.budget.trials=5",
    "tune.sampler.name=random",
    "tune.space.train.optimizer.weight_decay=null",
    "+tune.space.model={choice: [linear, mlp]}",
    "+tune.space.model.layers={choice: [[16], [32, 16]]}",
    # The second rate blows up in any model: such a trial fails, the search does not.
    "~tune.space.train.optimizer.learning_rate",
    "+tune.space.train.optimizer.learning_rate={choice: [0.01, 1.0e+30]}",
)


@dataclass(frozen=True)
class Searched:
    """A project in which a search was killed and taken up again.

    Attributes:
        project: With five trials that count, and one that was cut off.
        cut_off: Its number.
        told: What the second `pipeline tune` printed.
    """

    project: Project
    cut_off: int
    told: str

    @property
    def root(self) -> Path:
        return self.project.root


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Searched:
    """One job, killed with `kill -9` in the middle of a trial; then two jobs to the end."""
    project = make_project(tmp_path_factory.mktemp("tune") / "project")
    process = subprocess.Popen(
        project.command("pipeline", "tune", *SEARCH, "tune.jobs=1"),
        cwd=project.root,
        env=project.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    cut_off = wait_for_a_running_trial(process, project.root / ".pipeline/tune/first/study.db")
    workers = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert workers
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert [one for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []
    done = project.run("pipeline", "tune", *SEARCH, "tune.jobs=2")
    assert done.returncode == 0, done.stdout + done.stderr
    return Searched(project, cut_off, done.stdout)


def trials(searched: Searched) -> list[dict[str, str]]:
    """Every trial, the one that was cut off too."""
    path = searched.root / ".pipeline" / "tune" / "first" / "trials.csv"
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def counted(searched: Searched) -> list[dict[str, str]]:
    return [row for row in trials(searched) if row["trial"] != str(searched.cut_off)]


def test_trials_of_each_kind_are_told(searched: Searched) -> None:
    told = counted(searched)
    assert len(told) == 5
    good = [row for row in told if row["train.optimizer.learning_rate"] == "0.01"]
    assert {row["state"] for row in good} == {"complete"}
    bad = [row for row in told if row["train.optimizer.learning_rate"] == "1e+30"]
    assert {row["state"] for row in bad} == {"fail"}
    assert all("became" in row["reason"] for row in bad)
    assert {json.loads(row["model"]) for row in told} == {"linear", "mlp"}
    for row in told:
        assert (row["model.layers"] != "") == (row["model"] == '"mlp"')


def test_a_trial_that_was_cut_off_is_put_again(searched: Searched) -> None:
    assert f"trial {searched.cut_off} was cut off and is put again" in searched.told
    lost = trials(searched)[searched.cut_off]
    (again,) = [row for row in trials(searched) if row["repeats"] == lost["trial"]]
    assert lost["state"] == "fail"
    assert lost["reason"] == ""
    assert again["state"] in {"complete", "fail"}
    for key in ("model", "model.layers", "train.optimizer.learning_rate"):
        assert again[key] == lost[key]


def test_the_report_stands_alone(searched: Searched) -> None:
    page = (searched.root / ".pipeline/tune/first/report.html").read_text(encoding="utf-8")
    assert page.count("<svg") >= 3
    assert "<script" not in page
    assert "src=" not in page
    assert "val_loss by trial" in page


def test_trials_are_children_of_one_mlflow_run(searched: Searched) -> None:
    told = runs(searched.root, "penguins")
    (parent,) = [run for run in told if run.info.run_name.startswith("tune first")]
    assert parent.info.status == "FINISHED"
    children = {
        run.info.run_name: run
        for run in told
        if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id
    }
    assert {"preprocess", "tune"} <= children.keys()
    assert children[f"trial-{searched.cut_off:04d}"].info.status == "KILLED"
    for row in counted(searched):
        child = children[f"trial-{int(row['trial']):04d}"]
        assert child.data.params["model"] == json.loads(row["model"])
        if row["state"] == "complete":
            assert child.data.metrics["kept_val_loss"] == float(row["value"])
            assert child.info.status == "FINISHED"
        else:
            assert child.info.status == "FAILED"
            assert "became" in child.data.tags["trial.reason"]
    best = min(float(row["value"]) for row in trials(searched) if row["value"])
    assert parent.data.metrics["tune.best_val_loss"] == best
    assert not [name for name in parent.data.metrics if name.startswith("trial")]


def test_a_second_search_prepares_nothing_again_and_knows_its_trials(searched: Searched) -> None:
    table = searched.root / "data/processed/train.parquet"
    before = table.stat().st_mtime_ns
    again = searched.project.run("pipeline", "tune", *SEARCH)
    assert again.returncode == 0, again.stderr
    assert "has had its 5 trials" in again.stdout
    assert table.stat().st_mtime_ns == before
    assert len(trials(searched)) == 6


def test_the_winner_is_an_experiment_that_trains_to_the_same_value(searched: Searched) -> None:
    path = searched.root / "configs/experiment/first.yaml"
    text = path.read_text(encoding="utf-8")
    best = min(
        (row for row in trials(searched) if row["value"]), key=lambda row: float(row["value"])
    )
    assert f"study first, trial {best['trial']} of 6" in text
    found = yaml.safe_load(text)
    assert {"override /data": "penguins"} in found["defaults"]
    assert {"override /model": json.loads(best["model"])} in found["defaults"]
    assert found["train"]["optimizer"]["learning_rate"] == 0.01
    record_overrides(searched.root, ["+experiment=first"])
    done = searched.project.run("dvc", "repro", "train")
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads((searched.root / "models/trained/training.json").read_text())
    assert record["model"] == json.loads(best["model"])
    # Two jobs have one core each; sums in another order differ in the last digits.
    assert record["validation_loss"] == pytest.approx(float(best["value"]), rel=1e-4)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "+tune.space.train.epohcs={int: [1, 3]}",
            ["'train.epohcs'", "did you mean train.epochs?"],
        ),
        ("+tune.space.model={choice: [dcn, mpl]}", ["'mpl'", "did you mean model=mlp?"]),
        ("+tune.space.train.epochs={uniform: [1.0, 3.0]}", ["train.epochs", "tune.space holds"]),
        ("+tune.space.model.dropout={uniform: [0.5, 1.5]}", ["model.dropout", "tune.space holds"]),
        (
            "+tune.space.preprocess.duplicates={choice: [a]}",
            ["preprocess", "model, train"],
        ),
        ("+tune.space.data={choice: [penguins]}", ["'data'", "model, train"]),
        ("tune.budget.trials=null", ["neither trials nor minutes"]),
        ("tune.metric=val_acc", ["tune.metric", "val_accuracy"]),
        ("tune.jbos=2", ["tune.jobs"]),
        ("tune.name=baseline", ["baseline.yaml was not written by `pipeline tune`"]),
    ],
)
def test_mistakes_are_refused_before_anything_runs(
    project: Project, line: str, words: list[str]
) -> None:
    with pytest.raises(ConfigError) as refused:
        tune(project.root, ["data=penguins", line])
    for word in words:
        assert word in str(refused.value)
    assert not (project.root / "params.yaml").exists()
    assert not (project.root / ".pipeline" / "tune").exists()


def wait_for_a_running_trial(process: subprocess.Popen[Any], database: Path) -> int:
    """Waits until a trial runs that has told an epoch, after at least one that is done."""
    question = (
        "SELECT number FROM trials WHERE state = 'RUNNING' AND number > 0 AND trial_id IN"
        " (SELECT trial_id FROM trial_intermediate_values)"
    )
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        assert process.poll() is None
        if database.exists():
            with closing(sqlite3.connect(database)) as connection:
                found = connection.execute(question).fetchone()
            if found:
                return int(found[0])
        time.sleep(0.02)
    raise AssertionError("no trial began")
