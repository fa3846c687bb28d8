"""`pipeline tune`: searches on the prepared data, and writes the winner as an experiment."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.compose.compose import compose, validate
from pipeline.compose.overrides import record_overrides
from pipeline.compose.params import write_params
from pipeline.core import tracking
from pipeline.core.artifacts import PROCESSED, STATE
from pipeline.core.console import say
from pipeline.core.publishing import exclusive
from pipeline.core.ray_cluster import Room
from pipeline.core.schema import build
from pipeline.core.tracking_facts import DvcLock
from pipeline.runner.dvc_lock import release_dead
from pipeline.runner.experiment_file import experiment_path, found_by, write_experiment
from pipeline.runner.reproduce import drop_damaged_params, dvc_repro, failed_code
from pipeline.runner.stages import CONFIGURED
from pipeline.runner.trial_configs import TrialConfigs
from pipeline.train.config import LauncherConfig
from pipeline.tune import STAGE as TUNE
from pipeline.tune.config import TuneStageConfig
from pipeline.tune.workers import Crew

if TYPE_CHECKING:
    import optuna

_WORKER = ("-m", "pipeline.runner.trial_worker")


@dataclass(frozen=True)
class _Plan:
    """A checked request."""

    root: Path
    overrides: Sequence[str]
    params: dict[str, Any]
    config: TuneStageConfig
    configs: TrialConfigs

    @property
    def folder(self) -> Path:
        return self.root / STATE / "tune" / self.config.tune.name

    @property
    def launcher(self) -> LauncherConfig:
        return build(LauncherConfig, self.params["launcher"], "launcher")

    @property
    def store(self) -> tracking.TrackingConfig:
        return build(tracking.TrackingConfig, self.params["tracking"], "tracking")


def tune(root: Path, overrides: Sequence[str]) -> int:
    """Searches until the budget is spent; returns the exit code of the command line.

    Raises:
        BusyError: Another `pipeline run` or `pipeline tune` works in the same project.
        ConfigError: An override, the space or a config file is wrong; nothing was written.
        PipelineError: The data cannot be prepared or used, or no trial went well.
    """
    with exclusive(root / STATE / "locks" / "run.lock", "this project's pipeline"):
        drop_damaged_params(root)
        plan = _checked(root, overrides)
        record_overrides(root, overrides)
        write_params(root, plan.params, overrides)
        return _search(plan)


def _checked(root: Path, overrides: Sequence[str]) -> _Plan:
    params = compose(root, overrides)
    validate(params, CONFIGURED)
    config: TuneStageConfig = TUNE.configure(params)
    configs = TrialConfigs(root, overrides, config.dimensions())
    configs.check()
    experiment_path(root, config.tune.name)
    return _Plan(root, overrides, params, config, configs)


def _search(plan: _Plan) -> int:
    from pipeline.tune.study import known_run_key, open_study, put_again

    name = plan.config.tune.name
    key = known_run_key(plan.folder, name) or tracking.new_key()
    run = tracking.open_search(plan.root, plan.params, name=f"tune {name}", key=key)
    succeeded = False
    try:
        code = _prepare(plan.root, key)
        if code:
            return code
        study = open_study(plan.folder, plan.config.tune, _identity(plan), key)
        for number in put_again(study):
            say(f"trial {number} was cut off and is put again")
        _run_trials(plan, study, run)
        _conclude(plan, study, run)
        succeeded = True
    finally:
        tracking.finish_run(plan.root, run, succeeded)
        tracking.flush(plan.root, plan.store)
    return 0


def _prepare(root: Path, run_key: str) -> int:
    """Brings the prepared data up to date through DVC; returns the exit code of what failed."""
    begun = time.time()
    release_dead(root)
    dvc_code = dvc_repro(root, {tracking.RUN_VARIABLE: run_key}, "preprocess")
    return failed_code(root, begun, dvc_code)


def _identity(plan: _Plan) -> dict[str, Any]:
    data = DvcLock.read(plan.root).outs("preprocess").get(PROCESSED, "")
    return plan.configs.identity() | {"metric": plan.config.tune.metric, "data": data}


def _run_trials(plan: _Plan, study: optuna.Study, run: tracking.RunIdentity) -> None:
    from pipeline.tune.search import Search
    from pipeline.tune.story import Story
    from pipeline.tune.study import begun

    config = plan.config.tune
    left = None if config.budget.trials is None else config.budget.trials - begun(study)
    if left is not None and left <= 0:
        say(f"study {config.name} has had its {config.budget.trials} trials (tune.budget.trials)")
        return
    story = Story(plan.root, config, plan.store, run, study)
    with _crew(plan, min(config.jobs, left or config.jobs)) as crew, story.telling():
        Search(
            config=config,
            space=plan.configs.space,
            study=study,
            configs=plan.configs,
            crew=crew,
            story=story,
        ).run()


def _crew(plan: _Plan, size: int) -> AbstractContextManager[Crew]:
    """Who trains the trials: processes of this machine, or of a Ray cluster."""
    from pipeline.tune.crews import local_crew, ray_crew

    launcher = plan.launcher
    if launcher.name != "ray":
        return nullcontext(local_crew(_WORKER, plan.root, plan.folder, size))
    return ray_crew(
        _WORKER,
        plan.root,
        plan.folder,
        size,
        address=launcher.address,
        room=Room(1, launcher.cpus_per_worker, launcher.gpus_per_worker, launcher.placement),
        threads=launcher.threads or max(1, int(launcher.cpus_per_worker)),
        patience_seconds=launcher.start_timeout_seconds,
    )


def _conclude(plan: _Plan, study: optuna.Study, run: tracking.RunIdentity) -> None:
    """Writes the report and the experiment, and sums the search up."""
    from pipeline.tune.report import (
        best_values,
        importance,
        require_best,
        summary,
        write_report,
    )

    config = plan.config.tune
    best = require_best(study)
    values = best_values(plan.configs.space, best)
    overrides = plan.configs.lines(values)
    path = write_experiment(plan.root, config.name, overrides, _header(config.name, study))
    weights = importance(study)
    page, table = write_report(plan.folder, study, config, weights)
    journal = tracking.journal_for(plan.root, run, "tune")
    journal.start()
    journal.params(values)
    journal.metrics({f"best_{config.metric}": best.value or 0.0, "best_trial": best.number})
    for made in (path, page, table):
        journal.artifact(made)
    journal.finish("FINISHED")
    for line in summary(study, config, weights):
        say(line)
    say(f"report:     {page.relative_to(plan.root)}")
    say(f"experiment: {path.relative_to(plan.root)}")
    say(f"train it:   pipeline run +experiment={config.name}")


def _header(name: str, study: optuna.Study) -> list[str]:
    best = study.best_trial
    metric = "" if best.value is None else f"{best.value:.6g}"
    day = time.strftime("%Y-%m-%d", time.gmtime())
    told = f"trial {best.number} of {len(study.trials)}, {metric}, {day}"
    return [found_by(name, told), f"  pipeline run +experiment={name}"]
