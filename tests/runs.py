"""The small run that end-to-end tests start from, and what they read of a run."""

from __future__ import annotations

import json

from tests.conftest import Project

RUN = ("run", "data=penguins", "debug=smoke")


def plan(project: Project, *overrides: str) -> dict[str, list[str]]:
    """Stage to reasons, for the stages that would run."""
    done = project.run("pipeline", "plan", "--json", *overrides)
    assert done.returncode == 0, done.stderr
    return {row["stage"]: row["reasons"] for row in json.loads(done.stdout) if row["run"]}


def stages_that_ran(output: str) -> list[str]:
    """Names from the `[stage] done in` lines."""
    return [line[1:].partition("]")[0] for line in output.splitlines() if "] done in" in line]
