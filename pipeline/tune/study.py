"""The study: every trial and its numbers in one SQLite file, which outlives whatever is killed."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import optuna
import sqlalchemy.exc
from optuna.trial import FrozenTrial, TrialState

from pipeline.core.errors import ConfigError, PipelineError
from pipeline.core.publishing import publish_file
from pipeline.tune.config import PrunerConfig, TuneConfig

DATABASE = "study.db"

REPEATS = "repeats"
"""Attribute of a trial that takes the place of one that was cut off: its number."""
REASON = "reason"
"""Attribute of a failed trial: why."""

_IDENTITY = "identity"
_RUN_KEY = "run_key"
_DIFFERENCES_SHOWN = 4


def direction(metric: str) -> Literal["minimize", "maximize"]:
    """Losses and errors are minimised."""
    return "maximize" if metric in {"val_auc", "val_accuracy"} else "minimize"


def open_study(
    folder: Path, config: TuneConfig, identity: Mapping[str, Any], run_key: str
) -> optuna.Study:
    """Opens the study in `folder`, made where it is missing.

    Args:
        folder: Where its database lies.
        config: Name, metric and pruner.
        identity: Whatever makes two values comparable: data, config, space, metric. Dotted keys.
        run_key: Key of the run that a new study is told under.

    Raises:
        ConfigError: The study was begun with another identity; says what differs.
        PipelineError: Its database is damaged.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with _explained(folder):
        study = optuna.create_study(
            storage=_storage(folder / DATABASE),
            study_name=config.name,
            direction=direction(config.metric),
            pruner=_pruner(config.pruner),
            load_if_exists=True,
        )
        known = study.user_attrs.get(_IDENTITY)
        if known is None:
            study.set_user_attr(_RUN_KEY, run_key)
            study.set_user_attr(_IDENTITY, json.dumps(identity, sort_keys=True))
    if known is not None:
        _require_same(folder, config.name, json.loads(known), dict(identity))
    return study


def known_run_key(folder: Path, name: str) -> str:
    """Key of the run that a study is told under; empty where there is no such study."""
    if not (folder / DATABASE).exists():
        return ""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with _explained(folder):
        known = optuna.get_all_study_summaries(_storage(folder / DATABASE))
    return next((str(s.user_attrs.get(_RUN_KEY, "")) for s in known if s.study_name == name), "")


@contextlib.contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except (sqlalchemy.exc.SQLAlchemyError, sqlite3.Error) as error:
        raise PipelineError(
            f"the study {folder / DATABASE} cannot be used: {str(error).splitlines()[0]}",
            expected="a database that `pipeline tune` wrote",
            remedy=f"remove {folder}, or choose another tune.name",
        ) from error


def _storage(path: Path) -> optuna.storages.RDBStorage:
    if not path.exists():
        # Made aside, so that a half-made database never bears the real name.
        with publish_file(path) as aside:
            _rdb(aside).engine.dispose()
    return _rdb(path)


def _rdb(path: Path) -> optuna.storages.RDBStorage:
    def connect() -> sqlite3.Connection:
        # Every number told is a commit. With a write-ahead log a killed process loses none of
        # them, and none waits for the disk (sqlite.org/wal.html, "Performance Considerations").
        connection = sqlite3.connect(path, timeout=60, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        return connection

    return optuna.storages.RDBStorage(
        f"sqlite:///{path.resolve()}", engine_kwargs={"creator": connect}
    )


def _require_same(
    folder: Path, name: str, known: Mapping[str, Any], now: Mapping[str, Any]
) -> None:
    differing = [
        f"{key}: {json.dumps(known.get(key))} -> {json.dumps(now.get(key))}"
        for key in sorted(known.keys() | now.keys())
        if known.get(key) != now.get(key)
    ]
    if not differing:
        return
    shown = "".join(f"\n  - {line}" for line in differing[:_DIFFERENCES_SHOWN])
    more = len(differing) - _DIFFERENCES_SHOWN
    raise ConfigError(
        f"the study '{name}' was begun with other settings, so its trials do not compare:{shown}"
        + (f"\n  - and {more} more" if more > 0 else ""),
        expected="the same data, config, space and metric; budget, jobs, pruner and sampler may"
        " change",
        remedy=f"give the new search its own tune.name, or remove {folder} to begin anew",
    )


def _pruner(config: PrunerConfig) -> optuna.pruners.BasePruner:
    match config.name:
        case "median":
            return optuna.pruners.MedianPruner(
                n_startup_trials=config.startup_trials, n_warmup_steps=config.warmup_epochs
            )
        case "hyperband":
            return optuna.pruners.HyperbandPruner(min_resource=max(1, config.warmup_epochs))
        case "none":
            return optuna.pruners.NopPruner()


def put_again(study: optuna.Study) -> list[int]:
    """Queues every trial that was running when the search was killed; returns their numbers.

    Twice the same leaves one: a kill between the two steps for a trial queues it no second time.
    """
    trials = study.get_trials(deepcopy=False)
    running = [trial for trial in trials if trial.state == TrialState.RUNNING]
    queued = cut_off(trials)
    for trial in running:
        if trial.number not in queued:
            study.enqueue_trial(trial.params, user_attrs={REPEATS: trial.number})
        study.tell(trial.number, state=TrialState.FAIL)
    return [trial.number for trial in running]


def cut_off(trials: Iterable[FrozenTrial]) -> set[int]:
    """Numbers of the trials that another one has taken the place of."""
    return {trial.user_attrs[REPEATS] for trial in trials if REPEATS in trial.user_attrs}


def begun(study: optuna.Study) -> int:
    """Trials that count towards the budget: all but those cut off and those still queued."""
    trials = study.get_trials(deepcopy=False)
    without = cut_off(trials)
    return sum(
        trial.state != TrialState.WAITING and trial.number not in without for trial in trials
    )


def ask(study: optuna.Study, config: TuneConfig) -> optuna.Trial:
    """The next trial, a queued one before a new one.

    The sampler is seeded anew for each trial by how many were drawn before it: a sampler that
    went on from its own state would draw the same first values again after every resumption.
    """
    drawn = sum(REPEATS not in trial.user_attrs for trial in study.get_trials(deepcopy=False))
    study.sampler = _sampler(config, drawn)
    return study.ask()


def _sampler(config: TuneConfig, drawn: int) -> optuna.samplers.BaseSampler:
    seed = int(np.random.SeedSequence([config.seed, drawn]).generate_state(1)[0])
    match config.sampler.name:
        case "tpe":
            return optuna.samplers.TPESampler(
                n_startup_trials=config.sampler.startup_trials, seed=seed
            )
        case "random":
            return optuna.samplers.RandomSampler(seed=seed)
        case "qmc":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                return optuna.samplers.QMCSampler(
                    scramble=True,
                    seed=config.seed,  # one sequence for the whole study
                    independent_sampler=optuna.samplers.RandomSampler(seed=seed),
                    warn_independent_sampling=False,
                )
