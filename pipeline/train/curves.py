"""Each epoch's figures as curves, in MLflow and in TensorBoard."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import tensorflow as tf

from pipeline.core.tracking import Journal
from pipeline.train.machine import machine_metrics
from pipeline.train.strategy import Team
from pipeline.train.watch import Row


@contextlib.contextmanager
def curves(board: Path | None, journal: Journal, team: Team) -> Iterator[Callable[[Row], None]]:
    """Yields what tells a row, and how busy the machine was, to the journal and to TensorBoard.

    The chief alone does.

    Args:
        board: A folder for `tensorboard --logdir`; None writes none.
        journal: Carried into MLflow.
        team: Who trains.
    """
    if not team.is_chief:
        yield lambda _: None
        return
    with contextlib.ExitStack() as stack:
        if board:
            writer = tf.summary.create_file_writer(str(board))
            stack.callback(writer.close)
            stack.enter_context(writer.as_default())

        machine_metrics()  # the first call says nothing of the CPU

        def tell(row: Row) -> None:
            step = int(row["epoch"])
            measured = {name: value for name, value in row.items() if name != "epoch"}
            figures = measured | machine_metrics()
            journal.metrics(figures, step=step)
            for name, value in figures.items():
                tf.summary.scalar(name, value, step=step)  # nothing without a writer

        yield tell
