"""`pipeline data ...`: the schema as a contract. Imports nothing heavy."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.cli_options import INIT_OPTIONS, JSON, Command, Option, project_root

DATA_DESCRIPTION = """\
The data set's config is a contract: what it declares is a rule, what training saw an expectation.

  pipeline data schema --from data/source/my.csv --label y --strict
                                   write configs/data/my.yaml, with what was seen as rules
  pipeline data check new.csv      do these rows keep the rules, and look like training rows?
  pipeline data update new.csv     the change of the config that would let them pass, as a diff
  pipeline data update new.csv --write
                                   make that change
  pipeline data drift              validation and test split against the training split
  pipeline data drift asked.jsonl  served requests, or any new rows, against the training split
  pipeline data drift --rev HEAD~1 the training split of now against that of an earlier commit

Exit codes: 0 rules kept, no drift (there may be warnings); 1 a rule is broken, something has
drifted, or the rows cannot be read; 2 wrong usage.
"""

_DATA: Option = (
    ("--data",),
    {"metavar": "NAME", "help": "the data set; default: that of the last run"},
)
_FILE: Option = (
    ("file",),
    {"metavar": "FILE", "help": "new rows: CSV, TSV, Parquet or JSONL; may be compressed"},
)


def _schema(options: argparse.Namespace) -> int:
    from pipeline.runner.initialise import initialise

    initialise(
        options.source,
        label=options.label,
        name=options.name,
        root=project_root(Path.cwd()),
        force=options.force,
        strict=options.strict,
    )
    return 0


def _check(options: argparse.Namespace) -> int:
    from pipeline.runner.data_check import check_file

    return check_file(
        options.file,
        project_root(Path.cwd()),
        data=options.data,
        as_json=options.json,
        report=options.report,
    )


def _update(options: argparse.Namespace) -> int:
    from pipeline.runner.data_update import update_file

    return update_file(
        options.file, project_root(Path.cwd()), data=options.data, write=options.write
    )


def _drift(options: argparse.Namespace) -> int:
    from pipeline.runner.data_drift import report_drift

    return report_drift(
        project_root(Path.cwd()), file=options.file, rev=options.rev, as_json=options.json
    )


DATA_COMMANDS: dict[str, Command] = {
    "schema": (
        "look at a table and write its config, as `pipeline init` does",
        _schema,
        (
            *INIT_OPTIONS,
            (
                ("--strict",),
                {
                    "action": "store_true",
                    "help": "also write what holds in every row as rules: ranges, allowed words, "
                    "missing shares, unique ids, the order of dates",
                },
            ),
        ),
    ),
    "check": (
        "hold new rows against the contract; 1 where a rule is broken",
        _check,
        (
            _FILE,
            _DATA,
            JSON,
            (("--report",), {"metavar": "FILE", "help": "write the JSON there as well"}),
        ),
    ),
    "update": (
        "propose the change of the config that lets new rows pass",
        _update,
        (
            _FILE,
            _DATA,
            (("--write",), {"action": "store_true", "help": "make the change"}),
        ),
    ),
    "drift": (
        "compare rows with what the model has learned from; 1 where they differ",
        _drift,
        (
            (
                ("file",),
                {
                    "nargs": "?",
                    "metavar": "FILE",
                    "help": "new rows, or request bodies of the REST API as JSONL; "
                    "default: the validation and the test split",
                },
            ),
            (
                ("--rev",),
                {"metavar": "REV", "help": "compare the training split with that of a git commit"},
            ),
            JSON,
        ),
    ),
}
