"""What a search tells: lines and a bar for people, journals for MLflow (one child a trial)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna

from pipeline.core import tracking
from pipeline.core.console import progress, say
from pipeline.tune.config import TuneConfig
from pipeline.tune.space import shown
from pipeline.tune.study import begun, direction

_FLUSH_SECONDS = 20.0
"""Between two tellings to MLflow while the search runs: workers wait for nobody longer."""


class Story:
    """Tells a search as it goes.

    Args:
        root: The project.
        config: The section `tune`.
        store: Which MLflow store; None tells it nothing.
        run: The run that the search is told under.
        study: The study so far.
    """

    def __init__(
        self,
        root: Path,
        config: TuneConfig,
        store: tracking.TrackingConfig | None,
        run: tracking.RunIdentity,
        study: optuna.Study,
    ) -> None:
        self.root = root
        self.config = config
        self.store = store
        self.run = run
        self.study = study
        self.values: dict[int, Mapping[str, Any]] = {}
        self.advance: Callable[[float, str], None] = lambda _steps, _note: None
        self.flushed_at = time.monotonic()
        self.best = self._best_before()

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Shows a bar while the block runs: of trials, or of minutes where those are the limit."""
        budget = self.config.budget
        total = budget.trials - begun(self.study) if budget.trials else budget.minutes or 1.0
        self.clock = time.monotonic()
        with progress(f"tune {self.config.name}", max(total, 0)) as self.advance:
            yield

    def begin(self, number: int, values: Mapping[str, Any]) -> None:
        """A trial begins."""
        self.values[number] = values
        journal = self._journal(number)
        journal.start()
        journal.params(values)

    def epoch(self, number: int, row: Mapping[str, float]) -> None:
        """A trial has finished an epoch."""
        curves = {name: value for name, value in row.items() if name != "epoch"}
        self._journal(number).metrics(curves, step=int(row["epoch"]))
        value = row.get(self.config.metric, float("nan"))
        note = f"trial {number} epoch {int(row['epoch'])} {self.config.metric} {value:.5g}"
        self.advance(0, f"{note}{self._best()}")

    def done(self, number: int, value: float, result: Mapping[str, Any]) -> None:
        """A trial has a value."""
        journal = self._journal(number)
        journal.metrics({f"kept_{self.config.metric}": value, "fit_seconds": result["seconds"]})
        sign = -1 if direction(self.config.metric) == "maximize" else 1
        if self.best is None or sign * value < sign * self.best[1]:
            self.best = (number, value)
        best = " (best so far)" if self.best[0] == number else ""
        kept = f"{result['epochs']} epochs in {result['seconds']:.1f} s"
        self._end(number, "complete", f"{self.config.metric} {value:.6g}{best}, {kept}")

    def pruned(self, number: int) -> None:
        """A trial was given up."""
        epochs = len(self.study.get_trials(deepcopy=False)[number].intermediate_values)
        self._end(number, "pruned", f"given up after {epochs} epochs")

    def failed(self, number: int, reason: str) -> None:
        """A trial failed."""
        self._journal(number).tags({"trial.reason": reason})
        self._end(number, "failed", f"failed: {reason.splitlines()[0]}")

    def _end(self, number: int, state: str, text: str) -> None:
        journal = self._journal(number)
        journal.tags({"trial.state": state, "trial.number": str(number)})
        journal.finish("FAILED" if state == "failed" else "FINISHED")
        say(f"trial {number}: {text}  {shown(self.values[number])}")
        steps = 1.0 if self.config.budget.trials else (time.monotonic() - self.clock) / 60
        self.clock = time.monotonic()
        self.advance(steps, self._best().lstrip(", "))
        self.flush(at_once=False)

    def flush(self, *, at_once: bool = True) -> None:
        """Carries the journals into MLflow."""
        due = at_once or time.monotonic() - self.flushed_at >= _FLUSH_SECONDS
        if self.store is not None and due:
            tracking.flush(self.root, self.store)
            self.flushed_at = time.monotonic()

    def _best_before(self) -> tuple[int, float] | None:
        try:
            best = self.study.best_trial
        except ValueError:  # none is complete yet
            return None
        return best.number, best.value or 0.0

    def _best(self) -> str:
        return "" if self.best is None else f", best {self.best[1]:.5g} (trial {self.best[0]})"

    def _journal(self, number: int) -> tracking.Journal:
        return tracking.journal_for(self.root, self.run, f"{tracking.TRIAL}{number:04d}")
