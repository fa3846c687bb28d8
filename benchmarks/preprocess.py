"""Stage `preprocess` against the same pandas operations in a bare script; time and peak memory.

    python benchmarks/preprocess.py                  five rounds on all flights, all sides in turn
    python benchmarks/preprocess.py --rounds 1 --rows 5000
    python benchmarks/preprocess.py --write          also writes docs/benchmarks.md

Each side works in a process of its own. Measured is the work, without the start of Python and the
imports; the stage is measured with and without its data profile, which the bare script replaces by
the figures behind it.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from document import table, write_section

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

# Libraries are imported before the clock starts, on all sides.
from bare_preprocess import run_bare  # noqa: E402

from pipeline.compose.params import read_params  # noqa: E402
from pipeline.core.artifacts import Artifacts  # noqa: E402
from pipeline.core.processor import sort_fast  # noqa: E402
from pipeline.core.stage import Context  # noqa: E402
from pipeline.core.tracking import Journal  # noqa: E402
from pipeline.preprocess import STAGE, stage  # noqa: E402
from tests.conftest import make_project  # noqa: E402

SIDES = ("stage", "bare", "stage without profile", "bare without profile")


def run_stage(project: Path, *, profile: bool) -> None:
    """The stage itself, as `pipeline stage preprocess` runs it, without its process."""
    if not profile:
        stage.write_profile = lambda *_: None
    context = Context(root=project, journal=Journal(project / "journal.jsonl"))
    stage.run(STAGE.configure(read_params(project)), Artifacts(project), context)


def work(side: str, project: Path) -> None:
    """Does the work of one side and prints seconds and peak memory as JSON."""
    doors: dict[str, Callable[..., None]] = {"stage": run_stage, "bare": run_bare}
    door = doors[side.split(maxsplit=1)[0]]
    before = resource.getrusage(resource.RUSAGE_SELF)
    started = time.perf_counter()
    door(project, profile="without" not in side)
    wall = time.perf_counter() - started
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu = usage.ru_utime + usage.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"wall": wall, "cpu": cpu, "bytes": usage.ru_maxrss * 1024}))


def measure(side: str, project: Path) -> dict[str, float]:
    """Runs one side in a process of its own."""
    command = [sys.executable, __file__, "--work", side, "--project", str(project)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(f"{side:24} {measured['wall']:6.2f} s", flush=True)
    return measured


def prepare(folder: Path, rows: int | None) -> Path:
    """A fresh clone in which `compose` and `ingest` have run."""
    project = make_project(folder)
    if rows:
        (project.root / "overrides.yaml").write_text(f"overrides: [ingest.sample_rows={rows}]\n")
    for name in ("compose", "ingest"):
        done = project.run("pipeline", "stage", name)
        if done.returncode:
            raise SystemExit(done.stderr)
    return project.root


def report(rounds: list[dict[str, dict[str, float]]]) -> list[str]:
    """Medians of each side, and the ratios round by round."""

    def middle(side: str, field: str) -> float:
        return statistics.median(one[side][field] for one in rounds)

    rows = [
        [
            side,
            f"{middle(side, 'wall'):.2f}",
            f"{middle(side, 'cpu'):.2f}",
            f"{middle(side, 'bytes') / 1e6:,.0f}",
        ]
        for side in SIDES
    ]
    lines = table(["side", "wall, seconds", "CPU, seconds", "peak memory, MB"], rows)
    for side, bare in (SIDES[:2], SIDES[2:]):
        ratios = [one[side]["wall"] / one[bare]["wall"] for one in rounds]
        shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        said = f"**{side}: {statistics.median(ratios):.2f} times** the bare script ({shown}); "
        lines += ["", said + "at most 1.3 is wanted."]
    return lines


def main() -> None:
    """Takes turns between the sides."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    parser.add_argument("--work", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--project", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    sort_fast()  # for the processes of all sides, as `pipeline` does for its stages
    if asked.work:
        work(asked.work, asked.project)
        return
    with tempfile.TemporaryDirectory(prefix="pipeline-bench-") as name:
        project = prepare(Path(name) / "project", asked.rows)
        rounds = [{side: measure(side, project) for side in SIDES} for _ in range(asked.rounds)]
    lines = report(rounds)
    print("\n".join(lines))
    if asked.write:
        rows = f" --rows {asked.rows}" if asked.rows else ""
        command = f"python benchmarks/preprocess.py --rounds {asked.rounds}{rows}"
        write_section("preprocess", command, lines)


if __name__ == "__main__":
    main()
