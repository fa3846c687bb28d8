"""What people are told of a training, before its first step and after its last."""

from __future__ import annotations

from pipeline.core.console import say
from pipeline.core.records import TrainingRecord
from pipeline.core.tracking import Journal
from pipeline.train.batch import batch_rows
from pipeline.train.config import TrainStageConfig
from pipeline.train.plan import Plan
from pipeline.train.scaling import scaled_rate
from pipeline.train.strategy import Team
from pipeline.train.watch import Row


def announce(config: TrainStageConfig, rows: int, cut: Plan, team: Team) -> None:
    """Says what follows from strategy and batch size, before the first step."""
    rate, schedule = scaled_rate(config, cut.batch_rows)
    parts = config.train.gradient_accumulation
    share = cut.batch_rows // team.replicas
    say(
        f"{team.replicas} {'replica' if team.replicas == 1 else 'replicas'} of {share:,} rows make"
        f" a batch of {cut.batch_rows:,}"
        + (f", each in {parts} parts" if parts > 1 else "")
        + f"; {cut.steps_per_epoch:,} steps an epoch, {cut.steps_per_call} in one call"
    )
    wanted = min(rows, config.train.global_batch_size)
    if batch_rows(rows, config.train) < wanted:
        say(
            f"batches of {cut.batch_rows} rows instead of {wanted:,}: the table is small"
            f" (train.min_steps_per_epoch={config.train.min_steps_per_epoch})"
        )
    if rate != config.train.optimizer.learning_rate:
        say(
            f"learning rate {config.train.optimizer.learning_rate:g} scaled to {rate:g}"
            f" ({config.strategy.learning_rate_scaling}, for batches of"
            f" {config.strategy.base_batch_size:,}), warmed up to over"
            f" {schedule.warmup_fraction:.0%} of the steps"
        )


def report(record: TrainingRecord, history: list[Row], journal: Journal) -> None:
    """Says what came of it, to people and to the journal."""
    journal.tags({"model": record.model, "model_hash": record.model_hash})
    journal.metrics(
        {
            "best_epoch": record.best_epoch,
            "fit_seconds": record.seconds,
            "examples_per_second": record.examples_per_second,
            "parameters": record.parameters,
            "peak_memory_bytes": record.peak_memory_bytes,
        }
    )
    kept = next(row for row in history if row["epoch"] == record.best_epoch)
    measured = ", ".join(f"{k} {v:.4f}" for k, v in kept.items() if k.startswith("val_"))
    say(
        f"trained {record.model} ({record.parameters:,} parameters): {record.epochs} epochs in"
        f" {record.seconds:.1f} s, {record.examples_per_second:,.0f} examples/s"
    )
    say(f"kept epoch {record.best_epoch}: {measured}")
