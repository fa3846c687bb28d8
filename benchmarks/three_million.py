"""`pipeline run` on three million real flights, from a fresh clone: time and memory of each stage.

    python benchmarks/three_million.py --file flights-3m.parquet
    python benchmarks/three_million.py --file flights-3m.parquet --override model=linear
    python benchmarks/three_million.py --file flights-3m.parquet --write

`configs/data/flights_2001.yaml` says where the file comes from. Peak memory of a stage is the
largest resident set of its process, as its record has it; that of the whole run is all processes
together, proportional set size, sampled ten times a second.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

import psutil
from document import table, write_section
from pipeline_run import STAGES, PipelineRound, Timed
from preprocess_engines import together

from tests.conftest import make_project


def run(folder: Path, overrides: list[str]) -> tuple[PipelineRound, float]:
    """Runs everything in a fresh clone; returns it with the peak of all processes in bytes.

    Raises:
        SystemExit: The run failed.
    """
    project = make_project(folder)
    command = project.command("pipeline", "run", *overrides)
    started, peak = time.perf_counter(), 0.0
    with (folder / "told").open("w+") as told:
        process = psutil.Popen(
            command,
            cwd=project.root,
            env=project.environment(),
            stdout=told,
            stderr=subprocess.STDOUT,
        )
        while process.poll() is None:
            peak = max(peak, together(process))
            time.sleep(0.1)
        wall = time.perf_counter() - started
        told.seek(0)
        output = told.read()
    if process.returncode:
        raise SystemExit(output)
    stages = {stage.name: record(project.root, stage.name)["seconds"] for stage in STAGES}
    return PipelineRound(Timed(wall, float("nan"), output), stages, project), peak


def record(root: Path, stage: str) -> dict[str, float]:
    """What a stage wrote down about itself."""
    found: dict[str, float] = json.loads((root / f".pipeline/stages/{stage}.json").read_text())
    return found


def report(done: PipelineRound, peak: float) -> list[str]:
    """The stages, the whole, and what came of it."""
    rows = []
    for name, seconds in done.stages.items():
        bytes_held = record(done.project.root, name)["peak_memory_bytes"]
        rows.append([name, f"{seconds:.1f}", f"{bytes_held / 1e6:,.0f}"])
    rows.append(
        ["all, with what lies between", f"{done.timed.wall_seconds:.1f}", f"{peak / 1e6:,.0f}"]
    )
    metrics = done.record("models/evaluation/metrics.json")
    training = done.record("models/trained/training.json")
    sizes = done.record("data/processed/features.json")["rows"]
    shown = ", ".join(f"{name} {rows:,}" for name, rows in sizes.items())
    said = (
        f"{shown} rows; {training['epochs']} epochs at {training['examples_per_second']:,.0f} "
        f"examples/s; test AUC {metrics['test']['auc']:.4f}, linear baseline "
        f"{metrics['baseline']['linear']['auc']:.4f}."
    )
    return [*table(["stage", "wall, seconds", "peak memory, MB"], rows), "", said]


def main() -> None:
    """One run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", type=Path, required=True, help="flights-3m.parquet")
    parser.add_argument("--override", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    asked = parser.parse_args()
    overrides = ["data=flights_2001", f"data.source.path={asked.file.resolve()}", *asked.override]
    with tempfile.TemporaryDirectory(prefix="pipeline-bench-") as name:
        lines = report(*run(Path(name) / "clone", overrides))
    print("\n".join(lines))
    if asked.write:
        more = "".join(f" --override {one}" for one in asked.override)
        command = f"python benchmarks/three_million.py --file {asked.file.name}{more}"
        write_section("three_million", command, lines)


if __name__ == "__main__":
    main()
