"""Workers that train several small worlds in one job, since joining costs more than training.

    python -m tests.train.crew JOBS.json        with TF_CONFIG in the environment

JOBS.json lists `{"root": folder with processed data, "model": name, "changes": {...}}`. Each worker
leaves `crew-N.json` in the root: the hash of the weights it ended with and the epochs it ran.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from pipeline.train.cluster import Cluster, cluster_of
from pipeline.train.placement import free_addresses
from tests.train.worlds import REPOSITORY


def train_in_crew(folder: Path, jobs: list[dict[str, Any]], workers: int = 2) -> None:
    """Trains every job on so many processes; fails with what they printed."""
    path = folder / "jobs.json"
    path.write_text(json.dumps(jobs), encoding="utf-8")
    addresses = free_addresses(workers)
    started = []
    for index in range(workers):
        config = Cluster(addresses, index).as_tf_config()
        threads = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "tests.train.crew", str(path)],
                cwd=REPOSITORY,
                env={**os.environ, **threads, "TF_CONFIG": config},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    try:
        told = [process.communicate(timeout=240)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0] * workers, "\n".join(told)


def main() -> None:
    from pipeline.core.runtime import quiet_tensorflow

    quiet_tensorflow()
    from pipeline.core.artifacts import Artifacts
    from pipeline.train import work
    from pipeline.train.strategy import Workers
    from tests.train.worlds import context, settings

    cluster = cluster_of(os.environ)
    assert cluster is not None
    team = Workers(cluster)
    fit = work.fit
    fitted = []

    def fit_and_keep(*args: Any, **named: Any) -> Any:
        fitted.append(fit(*args, **named))
        return fitted[-1]

    work.fit = fit_and_keep  # type: ignore[assignment]
    for job in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
        root = Path(job["root"])
        config = settings(job["model"], **job["changes"])
        work.work(config, Artifacts(root), context(root), team)
        digest = hashlib.sha256()
        weights = fitted[-1].core.get_weights()
        for weight in weights:
            digest.update(weight.tobytes())
        told = {"weights": digest.hexdigest(), "epochs": len(fitted[-1].history)}
        (root / f"crew-{team.worker}.json").write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main()
