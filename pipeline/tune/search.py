"""The search itself: trials drawn, trained in worker processes, pruned, and told to the study."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import optuna
from optuna.trial import TrialState

from pipeline.core.errors import ConfigError, PipelineError
from pipeline.tune.config import TuneConfig
from pipeline.tune.space import Dimension, draw
from pipeline.tune.story import Story
from pipeline.tune.study import REASON, ask, begun
from pipeline.tune.workers import Crew, Message, Worker

FIRST = 5
"""When so many trials have failed before any has gone well, all of them will."""


class TrialConfigs(Protocol):
    """Who composes a trial's config; `pipeline.runner` does, rooms do not know each other."""

    @property
    def groups(self) -> frozenset[str]:
        """Keys of the space that are whole groups."""

    def known(self, chosen: Mapping[str, Any]) -> frozenset[str]:
        """Dotted keys of the config with these options of groups chosen."""

    def composed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The whole config with these values.

        Raises:
            ConfigError: They do not go together.
        """


@dataclass
class Running:
    """A trial in work."""

    trial: optuna.Trial
    values: dict[str, Any]


class Search:
    """Runs trials until the budget is spent.

    Args:
        config: The section `tune`.
        space: What is searched.
        study: Where trials are kept; those that were cut off are queued in it.
        configs: Composes each trial's config.
        crew: Trains them.
        story: Is told everything.
    """

    def __init__(
        self,
        *,
        config: TuneConfig,
        space: tuple[Dimension, ...],
        study: optuna.Study,
        configs: TrialConfigs,
        crew: Crew,
        story: Story,
    ) -> None:
        self.config = config
        self.space = space
        self.study = study
        self.configs = configs
        self.crew = crew
        self.story = story
        self.running: dict[Worker, Running] = {}
        self.ends_at = time.monotonic() + 60 * (config.budget.minutes or float("inf"))
        self.failures = 0
        self.any_ready = False
        self.any_went_well = False

    def run(self) -> None:
        """Runs until no trial may begin any more and none runs.

        Raises:
            PipelineError: The data cannot be used, or every trial fails.
            ConfigError: `tune.metric` does not fit the task.
        """
        with self.crew.at_work():
            while self.running or self._may_begin():
                for worker in tuple(self.crew.idle):
                    if self._may_begin():
                        self._begin(worker)
                if self.crew.busy:
                    for worker, message in self.crew.speaking():
                        self._answer(worker, message)

    def _may_begin(self) -> bool:
        trials = self.config.budget.trials
        return time.monotonic() < self.ends_at and (trials is None or begun(self.study) < trials)

    def _begin(self, worker: Worker) -> None:
        trial = ask(self.study, self.config)
        values = draw(trial, self.space, self.configs.groups, self.configs.known)
        self.story.begin(trial.number, values)
        try:
            params = self.configs.composed(values)
        except ConfigError as error:
            self._failed(Running(trial, values), str(error))
            return
        self.running[worker] = Running(trial, values)
        self.crew.give(worker, params)

    def _answer(self, worker: Worker, message: Message | None) -> None:
        if message is None:
            self._died(worker)
        elif "ready" in message:
            self._require_metric(message["ready"]["metrics"])
            self.any_ready = True
            self.crew.set_idle(worker)
        elif "refused" in message:
            raise PipelineError(message["refused"])
        elif "epoch" in message:
            worker.send({"go_on": self._goes_on(self.running[worker], message["epoch"])})
        else:
            self.crew.set_idle(worker)
            self._ended(self.running.pop(worker), message)

    def _died(self, worker: Worker) -> None:
        reason = worker.death()
        self.crew.dismiss(worker)
        if worker in self.running:
            self._failed(self.running.pop(worker), reason)
        elif not (worker.program.lost and self.any_ready):
            raise PipelineError(f"a search worker did not start: {reason}")
        self.crew.hire()

    def _require_metric(self, metrics: list[str]) -> None:
        if self.config.metric not in metrics:
            raise ConfigError(
                f"tune.metric={self.config.metric}, which the task of this table does not have",
                expected="one of " + ", ".join(metrics),
                remedy="set tune.metric=val_loss",
            )

    def _goes_on(self, running: Running, row: Mapping[str, float]) -> bool:
        value = row.get(self.config.metric)
        if value is not None:
            running.trial.report(value, int(row["epoch"]))
        self.story.epoch(running.trial.number, row)
        return value is None or not running.trial.should_prune()

    def _ended(self, running: Running, message: Message) -> None:
        if "failed" in message:
            self._failed(running, message["failed"])
        elif "pruned" in message:
            self.any_went_well = True
            self.study.tell(running.trial, state=TrialState.PRUNED)
            self.story.pruned(running.trial.number)
        elif self.config.metric not in message["done"]["kept"]:
            self._failed(running, f"it has no {self.config.metric}: one class only is validated")
        else:
            done = message["done"]
            value = done["kept"][self.config.metric]
            self.any_went_well = True
            self.study.tell(running.trial, value)
            self.story.done(running.trial.number, value, done)

    def _failed(self, running: Running, reason: str) -> None:
        running.trial.set_user_attr(REASON, reason)
        self.study.tell(running.trial, state=TrialState.FAIL)
        self.story.failed(running.trial.number, reason)
        self.failures += 1
        if self.failures >= FIRST and not self.any_went_well:
            raise PipelineError(
                f"the first {FIRST} trials all failed; the last one: {reason}",
                remedy="correct tune.space or the config that all trials share, then run this"
                " again",
            )
