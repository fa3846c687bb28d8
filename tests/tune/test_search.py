"""The search: budget, failures, pruning, several at once, and what a kill leaves."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest
from optuna.trial import TrialState

from pipeline.core.errors import ConfigError, PipelineError
from pipeline.core.jsonl import read_lines
from pipeline.tune.search import FIRST
from pipeline.tune.study import DATABASE, REASON, REPEATS, begun, cut_off
from tests.conftest import REPOSITORY
from tests.tune.toys import search, settings

X = {"x": {"uniform": [-4.0, 4.0]}}


def states(study: optuna.Study) -> list[str]:
    return [trial.state.name for trial in study.trials]


def values(study: optuna.Study) -> list[float]:
    return [t.value for t in study.get_trials(states=(TrialState.COMPLETE,)) if t.value is not None]


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc"])
def test_every_sampler_searches_within_the_budget(tmp_path: Path, sampler: str) -> None:
    config = settings(X, 8, sampler__name=sampler, sampler__startup_trials=4)
    study = search(tmp_path, config)
    assert len(study.trials) == 8
    xs = [trial.params["x"] for trial in study.trials]
    assert len(set(xs)) == 8
    assert values(study) == pytest.approx([x**2 for x in xs])
    assert study.best_value == min(values(study))


def test_a_larger_budget_goes_on_and_draws_what_one_search_would_have_drawn(tmp_path: Path) -> None:
    """A sampler that began anew would draw its first values a second time."""
    config = {"sampler__startup_trials": 4}
    whole = search(tmp_path / "whole", settings(X, 10, **config))
    search(tmp_path / "parts", settings(X, 3, **config))
    search(tmp_path / "parts", settings(X, 6, **config))
    parts = search(tmp_path / "parts", settings(X, 10, **config))
    assert [t.params for t in parts.trials] == [t.params for t in whole.trials]


def test_a_failed_trial_does_not_end_the_search(tmp_path: Path) -> None:
    space = {**X, "do": {"choice": ["fail", "refuse", "die", "go"]}}
    study = search(tmp_path, settings(space, 14, sampler__name="random", seed=1))
    told = {t.params["do"]: t for t in study.trials}
    assert told.keys() == {"fail", "refuse", "die", "go"}
    assert len(study.trials) == 14
    for trial in study.trials:
        assert trial.state == (
            TrialState.COMPLETE if trial.params["do"] == "go" else TrialState.FAIL
        )
    assert told["fail"].user_attrs[REASON] == "the toy broke\nin two lines"
    assert told["refuse"].user_attrs[REASON] == "these values do not go together"
    assert "killed (out of memory?)" in told["die"].user_attrs[REASON]
    journal, _ = read_lines(tmp_path / f".pipeline/runs/key/trial-{told['die'].number:04d}.jsonl")
    kinds = {record["kind"]: record["value"] for record in journal}
    assert kinds["finish"] == {"status": "FAILED"}
    assert kinds["tags"]["trial.state"] == "failed"


def test_a_search_in_which_every_trial_fails_ends_early(tmp_path: Path) -> None:
    space = {**X, "do": {"choice": ["fail"]}}
    with pytest.raises(PipelineError, match="trials all failed; the last one: the toy broke"):
        search(tmp_path, settings(space, 50))
    reopened = search_nothing(tmp_path, space)
    assert states(reopened) == ["FAIL"] * FIRST


def search_nothing(root: Path, space: dict[str, Any]) -> optuna.Study:
    return search(root, settings(space, 1))


@pytest.mark.parametrize("pruner", ["median", "hyperband", "none"])
def test_bad_trials_are_given_up(tmp_path: Path, pruner: str) -> None:
    config = settings(X, 16, sampler__name="random", pruner__name=pruner, pruner__startup_trials=2)
    study = search(tmp_path, config)
    pruned = [t for t in study.trials if t.state == TrialState.PRUNED]
    assert len(study.trials) == 16
    assert bool(pruned) == (pruner != "none")
    for trial in pruned:
        assert 1 <= len(trial.intermediate_values) <= 4
        if pruner == "median":  # warmup_epochs: 1
            assert len(trial.intermediate_values) >= 2
    if pruner == "median":
        kept = [abs(t.params["x"]) for t in study.trials if t.state == TrialState.COMPLETE]
        assert min(kept) < min(abs(t.params["x"]) for t in pruned)


def test_two_jobs_train_at_the_same_time(tmp_path: Path) -> None:
    space = {**X, "do": {"choice": ["meet"]}}  # ends when two of them have met
    study = search(tmp_path, settings(space, 4, jobs=2))
    assert states(study) == ["COMPLETE"] * 4
    assert len(list(tmp_path.glob("met-*"))) == 2


def test_accuracy_is_maximised_and_a_metric_no_trial_has_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="it has no val_accuracy"):
        search(tmp_path, settings(X, 6, metric="val_accuracy"))
    study = optuna.load_study(study_name="toy", storage=f"sqlite:///{tmp_path / DATABASE}")
    assert study.direction == optuna.study.StudyDirection.MAXIMIZE


def test_a_metric_that_the_task_lacks_is_refused_before_any_trial(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tune\.metric=val_rmse"):
        search(tmp_path, settings(X, 6, metric="val_rmse"))
    study = optuna.load_study(study_name="toy", storage=f"sqlite:///{tmp_path / DATABASE}")
    assert study.trials == []


def test_a_table_that_cannot_be_used_ends_the_search(tmp_path: Path) -> None:
    (tmp_path / "refuse").touch()
    with pytest.raises(PipelineError, match="there is no table"):
        search(tmp_path, settings(X, 6))


def test_minutes_are_a_budget_too(tmp_path: Path) -> None:
    study = search(tmp_path, settings(X, None, budget__minutes=1e-9))
    assert study.trials == []


def test_a_study_of_something_else_is_refused(tmp_path: Path) -> None:
    search(tmp_path, settings(X, 1))
    with pytest.raises(ConfigError, match="begun with other settings") as raised:
        search(tmp_path, settings({"x": {"uniform": [-4.0, 5.0]}}, 1))
    assert "5.0" in raised.value.came
    assert "tune.name" in raised.value.remedy


def test_a_damaged_study_is_named(tmp_path: Path) -> None:
    (tmp_path / DATABASE).write_bytes(b"no database" * 100)
    with pytest.raises(PipelineError, match=r"study\.db cannot be used"):
        search(tmp_path, settings(X, 1))


def test_a_killed_search_tries_the_same_trials_as_an_undisturbed_one(tmp_path: Path) -> None:
    space = {**X, "do": {"choice": ["hold"]}}
    changes = {"sampler__startup_trials": 3}
    killed = tmp_path / "killed"
    killed.mkdir()
    for name in ("a", "b"):  # once in the first trial, once in the middle
        (killed / "held").unlink(missing_ok=True)
        if name == "b":
            (killed / "held").touch()
            search(killed, settings(space, 5, **changes))
            (killed / "held").unlink()
        kill_while_it_holds(killed, [space, 8, changes])
    resumed = search(killed, settings(space, 8, **changes))
    whole_root = tmp_path / "whole"
    whole_root.mkdir()
    (whole_root / "held").touch()
    whole = search(whole_root, settings(space, 8, **changes))
    assert begun(resumed) == begun(whole) == 8
    assert len(cut_off(resumed.trials)) == 2
    assert [t.state for t in resumed.trials].count(TrialState.COMPLETE) == 8
    ours = {t.user_attrs.get(REPEATS, t.number): t.params for t in resumed.trials}
    assert list(ours.values()) == [t.params for t in whole.trials]


def kill_while_it_holds(root: Path, arguments: list[Any]) -> None:
    """Runs the search until its worker hangs in a trial, then `kill -9`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.tune.toys", str(root), json.dumps(arguments)],
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not (root / "held").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    workers = psutil.Process(process.pid).children()
    process.send_signal(signal.SIGKILL)
    process.wait()
    for worker in workers:  # the toy holds for ever: real ones end when nobody hears them
        worker.kill()
