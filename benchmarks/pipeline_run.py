"""`pipeline run` from a fresh clone against one hand-written script, and runs with nothing to do.

    python benchmarks/pipeline_run.py                 three rounds on all flights, both in turn
    python benchmarks/pipeline_run.py --rounds 1 --small
    python benchmarks/pipeline_run.py --write         also writes docs/benchmarks.md

Ratios are what counts: both sides run in the same minutes on the same machine.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from document import table, write_section

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from pipeline.runner.stages import STAGES  # noqa: E402
from tests.conftest import Project, make_project  # noqa: E402

FLOOR = ROOT / "benchmarks" / "floor.py"
SMALL_ROWS = 5000
REPEATS = 5


@dataclass(frozen=True)
class Timed:
    """What a command cost.

    Attributes:
        wall_seconds: Start to end.
        cpu_seconds: Of it and its children, user and system.
        output: What it printed.
    """

    wall_seconds: float
    cpu_seconds: float
    output: str


def timed(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Timed:
    """Runs a command to its end.

    Raises:
        SystemExit: It failed.
    """
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Timed(wall, cpu, done.stdout)


@dataclass(frozen=True)
class PipelineRound:
    """One `pipeline run` from nothing: its cost, its stages' seconds, and its project."""

    timed: Timed
    stages: dict[str, float]
    project: Project

    @property
    def between_seconds(self) -> float:
        """Wall time in which no stage worked: start-up of processes, DVC, waiting for imports."""
        return self.timed.wall_seconds - sum(self.stages.values())

    def record(self, path: str) -> Any:
        """A JSON file of the project."""
        return json.loads((self.project.root / path).read_text(encoding="utf-8"))


def run_pipeline(folder: Path, overrides: Sequence[str]) -> PipelineRound:
    """Runs everything in a fresh clone."""
    project = make_project(folder)
    command = project.command("pipeline", "run", *overrides)
    cost = timed(command, project.root, project.environment())
    stages = {}
    for stage in STAGES:
        state = json.loads((project.root / f".pipeline/stages/{stage.name}.json").read_text())
        stages[stage.name] = state["seconds"]
    return PipelineRound(cost, stages, project)


def run_floor(folder: Path, params: Path, rows: int | None) -> tuple[Timed, dict[str, Any]]:
    """Runs the hand-written script in a process of its own."""
    limit = ["--rows", str(rows)] if rows else []
    command = [sys.executable, str(FLOOR), "--params", str(params), "--out", str(folder), *limit]
    cost = timed(command, ROOT, {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"})
    return cost, json.loads((folder / "floor.json").read_text(encoding="utf-8"))


def compose(folder: Path, overrides: Sequence[str]) -> Path:
    """The params.yaml that both sides work by."""
    project = make_project(folder)
    environment = project.environment()
    record = "from pathlib import Path; from pipeline.compose.overrides import record_overrides; "
    record += f"record_overrides(Path.cwd(), {list(overrides)!r})"
    timed([sys.executable, "-c", record], project.root, environment)
    timed(project.command("pipeline", "stage", "compose"), project.root, environment)
    return project.root / "params.yaml"


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def against_the_floor(
    rounds: Sequence[PipelineRound], floors: Sequence[tuple[Timed, dict[str, Any]]]
) -> list[str]:
    """The table of ratios, then what shows that both did the same work."""
    pairs = list(zip(rounds, floors, strict=True))
    wall = [one.timed.wall_seconds / cost.wall_seconds for one, (cost, _) in pairs]
    cpu = [one.timed.cpu_seconds / cost.cpu_seconds for one, (cost, _) in pairs]
    rows = [
        [
            str(number),
            f"{one.timed.wall_seconds:.1f} s ({one.timed.cpu_seconds:.1f} s)",
            f"{cost.wall_seconds:.1f} s ({cost.cpu_seconds:.1f} s)",
            f"{ratio:.2f}",
        ]
        for number, ((one, (cost, _)), ratio) in enumerate(zip(pairs, wall, strict=True), 1)
    ]
    head = ["round", "`pipeline run`, wall (CPU)", "`floor.py`, wall (CPU)", "ratio of wall"]
    verdict = (
        f"**Median ratio {median(wall):.2f}** of wall time (at most 1.5 is wanted), "
        f"{median(cpu):.2f} of CPU time."
    )
    records = [one for _, one in floors]
    same = same_work(rounds[-1], records[-1])
    return [*table(head, rows), "", verdict, "", same, "", *where_the_time_goes(rounds, records)]


def same_work(one: PipelineRound, floor: dict[str, Any]) -> str:
    """The figures that must agree if both did the same."""
    training = one.record("models/trained/training.json")
    metrics = one.record("models/evaluation/metrics.json")
    auc, linear = metrics["test"]["auc"], metrics["baseline"]["linear"]["auc"]
    return (
        f"The same work: {training['parameters']:,} and {floor['parameters']:,} parameters, "
        f"{training['epochs']} and {floor['epochs']} epochs, test AUC {auc:.4f} and "
        f"{floor['auc']:.4f}, linear baseline {linear:.4f} and {floor['linear_auc']:.4f}. The "
        "pipeline also writes the data profile, the tables between stages and the DVC cache, which "
        "the script does not."
    )


def where_the_time_goes(
    rounds: Sequence[PipelineRound], floors: Sequence[dict[str, Any]]
) -> list[str]:
    """Seconds of each stage and each part of the script, and what is start-up."""
    rows = [
        [stage.name, f"{median([one.stages[stage.name] for one in rounds]):.1f}"]
        for stage in STAGES
    ]
    between = median([one.between_seconds for one in rounds])
    share = median([one.between_seconds / one.timed.wall_seconds for one in rounds])
    rows.append(["between stages: processes, DVC, waiting for imports", f"{between:.1f}"])
    parts = [
        [part, f"{median([one['seconds'][part] for one in floors]):.1f}"]
        for part in floors[0]["seconds"]
    ]
    imports = median([one["seconds"]["imports"] for one in floors])
    said = (
        f"Start-up and bookkeeping of `pipeline run`: {between:.1f} s, {share:.0%} of the run; the "
        f"script pays {imports:.1f} s of imports."
    )
    pipeline, script = (["`pipeline run`", "seconds"], rows), (["`floor.py`", "seconds"], parts)
    return [*table(*pipeline), "", *table(*script), "", said]


def nothing_to_do(project: Project) -> list[str]:
    """Commands in a project where nothing changed, and what DVC alone takes."""
    environment = project.environment()
    commands = {
        "`pipeline run`, nothing changed": project.command("pipeline", "run", *_recorded(project)),
        "`dvc repro`, nothing changed": project.command("dvc", "repro"),
        "`dvc status`": project.command("dvc", "status"),
        "`pipeline --help`": project.command("pipeline", "--help"),
        "`pipeline status`": project.command("pipeline", "status"),
    }
    rows = [
        [name, *_medians(command, project.root, environment)] for name, command in commands.items()
    ]
    with tempfile.TemporaryDirectory() as folder:
        empty = _empty_pipeline(Path(folder), len(STAGES), environment)
        alone = _medians(project.command("dvc", "repro"), empty, environment)
    rows.append([f"`dvc repro` of {len(STAGES)} empty stages, nothing changed", *alone])
    for name in [stage.name for stage in STAGES if not stage.heavy]:
        code = f"from pipeline.runner.stages import find_stage; find_stage('{name}').load()"
        cost = _medians([sys.executable, "-c", code], project.root, environment)
        rows.append([f"start of stage {name}, until it works", *cost])
    return table(["command", "wall, seconds", "CPU, seconds"], rows)


def _recorded(project: Project) -> list[str]:
    """The overrides of the last run, since `pipeline run` alone means none."""
    code = (
        "import json; from pathlib import Path; "
        "from pipeline.compose.overrides import read_overrides; "
        "print(json.dumps(list(read_overrides(Path.cwd()))))"
    )
    done = timed([sys.executable, "-c", code], project.root, project.environment())
    overrides: list[str] = json.loads(done.output)
    return overrides


def _medians(
    command: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> tuple[str, str]:
    """Wall and CPU seconds, the first run left out."""
    timed(command, folder, environment)
    costs = [timed(command, folder, environment) for _ in range(REPEATS)]
    wall, cpu = ([getattr(one, f"{kind}_seconds") for one in costs] for kind in ("wall", "cpu"))
    return f"{median(wall):.2f}", f"{median(cpu):.2f}"


def _empty_pipeline(folder: Path, stages: int, environment: Mapping[str, str]) -> Path:
    """A chain of stages that only touch a file: what DVC costs whatever it runs."""
    entries = [
        f"  stage{n}:\n    cmd: echo {n} > out{n}\n    deps: [out{n - 1}]\n    outs: [out{n}]\n"
        for n in range(1, stages + 1)
    ]
    (folder / "dvc.yaml").write_text("stages:\n" + "".join(entries))
    (folder / "out0").write_text("start\n")
    for command in (["git", "init", "--quiet"], ["dvc", "init", "--quiet"], ["dvc", "repro"]):
        program = [sys.executable, "-m", *command] if command[0] == "dvc" else command
        timed(program, folder, environment)
    return folder


def main() -> None:
    """All of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="a few thousand rows, one epoch")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    asked = parser.parse_args()
    overrides = [f"ingest.sample_rows={SMALL_ROWS}", "train.epochs=1"] if asked.small else []
    with tempfile.TemporaryDirectory(prefix="pipeline-bench-") as name:
        folder = Path(name)
        params = compose(folder / "params", overrides)
        rounds: list[PipelineRound] = []
        floors: list[tuple[Timed, dict[str, Any]]] = []
        for number in range(asked.rounds):
            # Taking turns, so that neither side always finds the warmer disk.
            for side in ("pipeline", "floor") if number % 2 == 0 else ("floor", "pipeline"):
                if side == "pipeline":
                    rounds.append(run_pipeline(folder / f"clone{number}", overrides))
                    print(f"pipeline run {rounds[-1].timed.wall_seconds:.1f} s", flush=True)
                else:
                    out = folder / f"floor{number}"
                    floors.append(run_floor(out, params, SMALL_ROWS if asked.small else None))
                    print(f"floor {floors[-1][0].wall_seconds:.1f} s", flush=True)
        lines = against_the_floor(rounds, floors)
        lines += ["", "### With nothing to do", "", *nothing_to_do(rounds[-1].project)]
    print("\n".join(lines))
    if asked.write:
        small = " --small" if asked.small else ""
        write_section(
            "pipeline_run",
            f"python benchmarks/pipeline_run.py --rounds {asked.rounds}{small}",
            lines,
        )


if __name__ == "__main__":
    main()
