"""The front door: surface, speed of --help, exit codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli import COMMANDS, GROUPS, build_parser, run_command
from pipeline.cli_options import Command, project_root
from pipeline.core.errors import UsageError

HEAVY = ("tensorflow", "keras", "mlflow", "dvc", "hydra", "pandas", "numpy", "pydantic", "rich")


def surface(commands: dict[str, Command]) -> dict[str, list[str]]:
    return {
        name: sorted(flag for flags, _ in options for flag in flags)
        for name, (_, _, options) in commands.items()
    }


def test_surface_is_frozen() -> None:
    assert surface(COMMANDS) == {
        "run": ["overrides"],
        "plan": ["--json", "overrides"],
        "tune": ["overrides"],
        "stage": ["name"],
        "status": ["--base", "--json", "--markdown"],
        "init": ["--force", "--from", "--label", "--name"],
        "serve": ["overrides"],
        "ask": ["--rows"],
        "predict": ["--input", "--model", "--output", "--url"],
        "promote": ["--reason", "version"],
        "rollback": ["--reason", "version"],
        "history": ["--json"],
        "ui": ["--browser", "--port"],
        "doctor": ["--quick"],
    }
    assert {name: surface(commands) for name, (_, _, commands) in GROUPS.items()} == {
        "data": {
            "schema": ["--force", "--from", "--label", "--name", "--strict"],
            "check": ["--data", "--json", "--report", "file"],
            "update": ["--data", "--write", "file"],
            "drift": ["--json", "--rev", "file"],
        },
    }


@pytest.mark.parametrize(
    "arguments", [["--help"], ["run", "--help"], ["data", "check", "--help"], ["--version"]]
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from pipeline.cli import run_command\n"
        "try:\n"
        f"    run_command({arguments!r})\n"
        "except SystemExit as ended:\n"
        "    print(ended.code, *sorted(set(sys.modules) & set(sys.argv[1:])))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *HEAVY], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "0"


def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    for name, (summary, _, _) in COMMANDS.items():
        with pytest.raises(SystemExit) as ended:
            build_parser().parse_args([name, "--help"])
        assert ended.value.code == 0
        assert summary in capsys.readouterr().out
    for group, (_, description, commands) in GROUPS.items():
        for name in commands:
            assert f"pipeline {group} {name} " in description


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["rnu"], "did you mean run?"),
        (["promot", "3"], "did you mean promote?"),
        (["data", "chek"], "did you mean check?"),
    ],
)
def test_mistyped_command_names_the_nearest(
    arguments: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run_command(arguments)
    assert ended.value.code == 2
    assert hint in capsys.readouterr().err


def test_root_is_found_from_a_folder_below(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").touch()
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert project_root(below) == tmp_path


def test_outside_a_project_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not inside a pipeline project"):
        project_root(tmp_path)
