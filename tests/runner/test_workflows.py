"""The CI workflows: they parse, their commands exist, and they follow the rules of docs/ci.md."""

from __future__ import annotations

import re
import shlex
import subprocess

import pytest
import yaml

from pipeline.cli import build_parser
from tests.conftest import REPOSITORY

FOLDER = REPOSITORY / ".github" / "workflows"
NAMES = ("test", "train")
EXPRESSION = re.compile(r"\$\{\{.*?\}\}")


def text_of(name):
    return (FOLDER / f"{name}.yml").read_text(encoding="utf-8")


def workflow(name):
    return yaml.safe_load(text_of(name))


def steps(name):
    return [step for job in workflow(name)["jobs"].values() for step in job["steps"]]


def scripts(name):
    return [step["run"] for step in steps(name) if "run" in step]


def commands(name, program):
    """Arguments of every call of `program` in the workflow's scripts."""
    found = []
    for script in scripts(name):
        calls = re.findall(rf"(?<![\w/.-]){program} ([^\n;|)&>]+)", script)
        found += [shlex.split(call.replace('"$BASE"', "BASE")) for call in calls]
    return found


def test_no_workflow_is_unknown_here():
    assert {path.stem for path in FOLDER.iterdir()} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_rules_of_the_house(name):
    flow = workflow(name)
    assert flow["permissions"] == {"contents": "read"}
    assert "github.ref" in flow["concurrency"]["group"]
    assert all(job["timeout-minutes"] <= 120 for job in flow["jobs"].values())
    assert not any("permissions" in job for job in flow["jobs"].values())
    checkouts = [step for step in steps(name) if "actions/checkout" in step.get("uses", "")]
    assert [step["with"]["persist-credentials"] for step in checkouts] == [False]


@pytest.mark.parametrize("name", NAMES)
def test_actions_are_pinned_to_a_commit_and_say_their_version(name):
    used = re.findall(r"uses: (.*)", text_of(name))
    assert used
    for action in used:
        assert re.fullmatch(r"actions/[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)
    pins = {}
    for action in used:
        owner_and_name = "/".join(action.partition("@")[0].split("/")[:2])
        assert pins.setdefault(owner_and_name, action.partition("@")[2]) == action.partition("@")[2]


@pytest.mark.parametrize("name", NAMES)
def test_scripts_are_valid_bash_without_expressions_inside(name):
    for script in scripts(name):
        # An expression is pasted into the script before bash sees it: a branch name could run code.
        assert not EXPRESSION.search(script)
        subprocess.run(["bash", "-n", "-c", script], check=True, capture_output=True)


@pytest.mark.parametrize("name", NAMES)
def test_secrets_stay_in_the_environment(name):
    for line in text_of(name).splitlines():
        if "secrets." in line:
            assert re.fullmatch(r"\s+([A-Z_]+): \$\{\{ secrets\.\1 \}\}", line)
    for script in scripts(name):
        assert not re.search(r"set -x|printenv|\benv\b *($|\|)|AWS_|AZURE_|MLFLOW_", script)


def test_tests_run_by_the_command_of_the_readme():
    assert scripts("test") == ["make test"]
    assert re.search(r"^make test\b", (REPOSITORY / "README.md").read_text(), re.MULTILINE)
    assert (REPOSITORY / ".ci" / "run").read_text().splitlines()[-1] == "make test"


@pytest.mark.parametrize("name", NAMES)
def test_make_targets_exist(name):
    calls = commands(name, "make")
    assert calls
    for arguments in calls:
        command = ["make", "--dry-run", *arguments]
        subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=True)


def test_pipeline_and_dvc_commands_exist():
    from dvc.cli.parser import get_main_parser

    (status,) = commands("train", "pipeline")
    options = build_parser().parse_args(status)
    assert options.markdown
    assert options.base == "BASE"
    calls = commands("train", "dvc")
    parsed = [get_main_parser().parse_args(arguments).cmd for arguments in calls]
    assert parsed == ["list", "pull", "checkout", "repro", "list", "push"]


def test_extras_for_remotes_exist():
    comment = re.search(r"EXTRA: .*# (.*)", text_of("train")).group(1)
    extras = re.findall(r"^(\w+) = \[", (REPOSITORY / "pyproject.toml").read_text(), re.MULTILINE)
    assert set(re.findall(r"\w+", comment)) - {"or"} <= set(extras)


def test_the_report_is_written_whatever_happened_and_a_refusal_stays_red():
    by_name = {step.get("name"): step for step in steps("train")}
    for name in ("Report", "Attach pictures, profile and verdict", "Keep the DVC cache"):
        assert by_name[name]["if"] == "${{ !cancelled() }}"
    assert by_name["Reproduce"]["run"] == "dvc repro"
    assert not any("continue-on-error" in step for step in steps("train"))
    order = list(by_name)
    assert order.index("Restore the DVC cache") < order.index("Reproduce") < order.index("Report")
    restored, kept = (by_name[f"{verb} the DVC cache"]["with"] for verb in ("Restore", "Keep"))
    assert restored["path"] == kept["path"]
    assert restored["key"] == kept["key"]
