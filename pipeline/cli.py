"""The front door: commands and exit codes. Imports nothing heavy; each command does so itself.

Exit codes: 0 done; 1 a stage failed; 2 wrong usage or config; 3 the gate refused the model;
130 interrupted (state consistent, a rerun resumes).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from pipeline import __version__
from pipeline.cli_data import DATA_COMMANDS, DATA_DESCRIPTION
from pipeline.cli_options import INIT_OPTIONS, JSON, Command, Option, project_root
from pipeline.core.console import say
from pipeline.core.errors import PipelineError, nearest

_DESCRIPTION = """\
From a table to a served TensorFlow model.

  pipeline run                              everything that changed, on the default data
  pipeline run data=penguins model=mlp      other choices; remembered in overrides.yaml
  pipeline plan train.epochs=20             what would run, and exactly why
  pipeline init --from data/source/my.csv --label y   a config for your own table; then:
  pipeline run data=my
  pipeline tune data=my tune.jobs=2         a search for better settings, as +experiment=NAME
  pipeline data check new.csv               do new rows keep the config? drift, update: data --help
  pipeline serve                            REST on 8501 and gRPC on 8500, loopback
  pipeline predict --input new.csv          rows in, predictions out
"""

_OVERRIDES_HELP = (
    "Hydra overrides: group=option (data=penguins model=wide_deep), key=value"
    " (train.epochs=5 train.optimizer.learning_rate=1e-3), +group=option (+experiment=baseline"
    " +debug=smoke). Without any, the plain configs."
)


class _Parser(argparse.ArgumentParser):
    """Tells a mistyped command the nearest one; argparse itself only lists them all."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        typed = message.partition("invalid choice: '")[2].partition("'")[0]
        group = GROUPS.get(self.prog.rpartition(" ")[2])
        near = nearest(typed, group[2] if group else [*COMMANDS, *GROUPS]) if typed else []
        hint = f"; did you mean {near[0]}?" if near else ""
        self.exit(2, f"{self.prog}: {message}{hint}\n")


def run_command(arguments: Sequence[str]) -> int:
    """Runs one command line; returns its exit code and prints errors as cards."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    try:
        code: int = options.command(options)
    except PipelineError as error:
        print(f"pipeline: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("pipeline: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader (head, less) has seen enough
        sys.stderr.close()
        return 0
    except OSError as error:
        from pipeline.runner.failures import machine_failure

        failure = machine_failure(error)
        if failure is None:
            raise
        print(f"pipeline: {failure}", file=sys.stderr)
        return failure.exit_code
    return code


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = _Parser(
        prog="pipeline",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"pipeline {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add(commands, COMMANDS)
    for name, (summary, description, group) in GROUPS.items():
        sub = commands.add_parser(
            name,
            help=summary,
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        _add(sub.add_subparsers(title="commands", metavar="COMMAND", required=True), group)
    return parser


def _add(commands: argparse._SubParsersAction[_Parser], table: Mapping[str, Command]) -> None:
    for name, (summary, command, options) in table.items():
        sub = commands.add_parser(name, help=summary, description=summary)
        sub.set_defaults(command=command)
        for flags, settings in options:
            sub.add_argument(*flags, **settings)  # type: ignore[arg-type]


def _run(options: argparse.Namespace) -> int:
    from pipeline.runner.reproduce import run

    return run(project_root(Path.cwd()), options.overrides)


def _tune(options: argparse.Namespace) -> int:
    from pipeline.runner.tuning import tune

    return tune(project_root(Path.cwd()), options.overrides)


def _plan(options: argparse.Namespace) -> int:
    from pipeline.runner.reproduce import plan_run

    _, plans = plan_run(project_root(Path.cwd()), options.overrides)
    if options.json:
        say(json.dumps([plan.as_json() for plan in plans], indent=2, ensure_ascii=False))
        return 0
    for plan in plans:
        say(f"{'run   ' if plan.run else 'cached'}  {plan.stage}")
        for reason in plan.reasons:
            say(f"          {reason}")
    return 0


def _stage(options: argparse.Namespace) -> int:
    from pipeline.runner.door import run_stage_process

    return run_stage_process(project_root(Path.cwd()), options.name)


def _status(options: argparse.Namespace) -> int:
    root = project_root(Path.cwd())
    if options.markdown:
        from pipeline.runner.markdown import summary_markdown

        say(summary_markdown(root, options.base))
        return 0
    from pipeline.runner.status import print_status, read_status

    status = read_status(root)
    if options.json:
        say(json.dumps(status, indent=2, ensure_ascii=False))
    else:
        print_status(status)
    return 0


def _init(options: argparse.Namespace) -> int:
    from pipeline.runner.initialise import initialise

    initialise(
        options.source,
        label=options.label,
        name=options.name,
        root=project_root(Path.cwd()),
        force=options.force,
    )
    return 0


def _serve(options: argparse.Namespace) -> int:
    from pipeline.runner.serving import serve_project

    return serve_project(project_root(Path.cwd()), options.overrides)


def _ask(options: argparse.Namespace) -> int:
    from pipeline.runner.serving import ask

    return ask(project_root(Path.cwd()), rows=options.rows)


def _predict(options: argparse.Namespace) -> int:
    from pipeline.runner.serving import predict

    return predict(
        project_root(Path.cwd()),
        source=options.input,
        url=options.url,
        model=options.model,
        output=options.output,
    )


def _promote(options: argparse.Namespace) -> int:
    from pipeline.runner.promotion import promote

    promote(project_root(Path.cwd()), options.version, reason=options.reason)
    return 0


def _rollback(options: argparse.Namespace) -> int:
    from pipeline.runner.promotion import rollback

    rollback(project_root(Path.cwd()), options.version, reason=options.reason)
    return 0


def _history(options: argparse.Namespace) -> int:
    from pipeline.runner.promotion import print_history

    print_history(project_root(Path.cwd()), as_json=options.json)
    return 0


def _ui(options: argparse.Namespace) -> int:
    from pipeline.runner.ui import run_ui

    return run_ui(project_root(Path.cwd()), port=options.port, browser=options.browser)


def _doctor(options: argparse.Namespace) -> int:
    from pipeline.runner.doctor import examine

    return examine(project_root(Path.cwd()), quick=options.quick)


_OVERRIDES: Option = (
    ("overrides",),
    {"nargs": "*", "metavar": "OVERRIDE", "help": _OVERRIDES_HELP},
)
_REASON: Option = (
    ("--reason",),
    {"default": "", "metavar": "TEXT", "help": "why; kept in the history"},
)

COMMANDS: dict[str, Command] = {
    "run": ("record the overrides, then reproduce what changed", _run, (_OVERRIDES,)),
    "plan": ("say what would run and exactly why; run nothing", _plan, (_OVERRIDES, JSON)),
    "tune": (
        "search for better settings on the prepared data; ends with an experiment",
        _tune,
        (
            (
                ("overrides",),
                {
                    "nargs": "*",
                    "metavar": "OVERRIDE",
                    "help": "as for `pipeline run`, and tune.budget.trials=50"
                    " tune.budget.minutes=30 tune.jobs=2 tune.metric=val_auc tune.name=NAME."
                    " Another space: '+tune.space.model={choice: [linear, dcn]}'"
                    " '+tune.space.train.epochs={int: [2, 8]}', or a file configs/tune/NAME.yaml"
                    " and tune=NAME. An interrupted search goes on where it was",
                },
            ),
        ),
    ),
    "stage": (
        "run one stage, as dvc.yaml calls it",
        _stage,
        ((("name",), {"metavar": "NAME", "help": "compose, ingest, preprocess, train, ..."}),),
    ),
    "status": (
        "what is trained, registered, exported and served",
        _status,
        (
            JSON,
            (("--markdown",), {"action": "store_true", "help": "a report for a CI job summary"}),
            (
                ("--base",),
                {
                    "metavar": "REV",
                    "help": "with --markdown: compare metrics with this git revision",
                },
            ),
        ),
    ),
    "init": ("write a config for your own table", _init, INIT_OPTIONS),
    "serve": ("serve the exported models until Ctrl-C", _serve, (_OVERRIDES,)),
    "ask": (
        "start the server on free ports, ask it about real rows, stop it",
        _ask,
        ((("--rows",), {"type": int, "default": 3, "metavar": "N", "help": "rows to ask about"}),),
    ),
    "predict": (
        "send rows to a served model, or to the exported one in process",
        _predict,
        (
            (
                ("--input",),
                {
                    "required": True,
                    "metavar": "FILE|-",
                    "help": "CSV, JSONL or Parquet; - reads CSV",
                },
            ),
            (("--url",), {"metavar": "URL", "help": "http://, https:// or grpc:// host:port"}),
            (("--model",), {"metavar": "NAME", "help": "default: the exported model"}),
            (("--output",), {"metavar": "FILE", "help": "default: CSV on standard output"}),
        ),
    ),
    "promote": (
        "make a registered version the champion, through the gate",
        _promote,
        ((("version",), {"type": int, "metavar": "VERSION"}), _REASON),
    ),
    "rollback": (
        "make the previous champion, or VERSION, the champion again",
        _rollback,
        ((("version",), {"type": int, "nargs": "?", "metavar": "VERSION"}), _REASON),
    ),
    "history": ("who promoted what, when and why", _history, (JSON,)),
    "ui": (
        "open the MLflow UI on the right store",
        _ui,
        (
            (("--port",), {"type": int, "default": 5000, "metavar": "PORT"}),
            (("--browser",), {"action": "store_true", "help": "open a browser too"}),
        ),
    ),
    "doctor": (
        "check this machine and say what to do",
        _doctor,
        ((("--quick",), {"action": "store_true", "help": "leave out the dry training run"}),),
    ),
}

GROUPS: dict[str, tuple[str, str, dict[str, Command]]] = {
    "data": ("hold data to its schema: check, update, drift", DATA_DESCRIPTION, DATA_COMMANDS),
}
"""Commands of two words: what each first word means, and the second ones."""
