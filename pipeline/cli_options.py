"""What several commands of the front door share; imports nothing heavy."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from pipeline.core.errors import UsageError

Option = tuple[tuple[str, ...], dict[str, object]]
"""Flags of an argument, and what argparse is told of it."""

Command = tuple[str, Callable[[argparse.Namespace], int], tuple[Option, ...]]
"""One line for people, what is called, and its arguments."""

JSON: Option = (("--json",), {"action": "store_true", "help": "print JSON for programs"})

INIT_OPTIONS: tuple[Option, ...] = (
    (
        ("--from",),
        {
            "dest": "source",
            "required": True,
            "metavar": "FILE",
            "help": "CSV, TSV, Parquet or JSONL; may be compressed",
        },
    ),
    (("--label",), {"required": True, "metavar": "COLUMN", "help": "what to predict"}),
    (("--name",), {"metavar": "NAME", "help": "default: the file's name"}),
    (("--force",), {"action": "store_true", "help": "replace an existing config"}),
)


def project_root(start: Path) -> Path:
    """The nearest folder from `start` upwards that holds a dvc.yaml.

    Raises:
        UsageError: There is none.
    """
    for folder in (start, *start.parents):
        if (folder / "dvc.yaml").is_file():
            return folder
    raise UsageError(
        f"{start} is not inside a pipeline project",
        expected="a folder with dvc.yaml and configs/",
        remedy="change into your clone of the project",
    )
