"""What a person sees while work goes on: progress bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeAlias

Progress: TypeAlias = Callable[[str, float], AbstractContextManager[Callable[[float, str], None]]]
"""How `progress` is called, for those who show it in another way."""

_PLAIN_INTERVAL_SECONDS = 5.0


@contextmanager
def progress(description: str, total: float) -> Iterator[Callable[[float, str], None]]:
    """Shows a bar while the block runs.

    Args:
        description: What is being done, two or three words.
        total: Steps until done.

    Yields:
        A function `advance(steps, note)`: `note` stands behind the bar, may be empty.
    """
    if sys.stderr.isatty():
        yield from _bar(description, total)
    else:
        yield from _lines(description, total)


def _bar(description: str, total: float) -> Iterator[Callable[[float, str], None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(description, total=total, note="")

        def advance(steps: float, note: str = "") -> None:
            bar.update(task, advance=steps, note=note)

        yield advance


def _lines(description: str, total: float) -> Iterator[Callable[[float, str], None]]:
    done = 0.0
    last = time.monotonic()

    def advance(steps: float, note: str = "") -> None:
        nonlocal done, last
        done += steps
        if time.monotonic() - last >= _PLAIN_INTERVAL_SECONDS or done >= total:
            last = time.monotonic()
            print(f"{description}: {done:g}/{total:g} {note}".rstrip(), file=sys.stderr, flush=True)

    yield advance


def say(text: str) -> None:
    """One line for a person, on standard output, at once."""
    print(text, flush=True)
