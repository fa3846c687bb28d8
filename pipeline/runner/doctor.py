"""`pipeline doctor`: looks at this machine and says what to do about what it finds."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.compose.params import read_params
from pipeline.core.console import say
from pipeline.core.errors import ConfigError, PipelineError
from pipeline.core.ray_cluster import require_ray

_PACKAGES = (
    "tensorflow",
    "keras",
    "mlflow",
    "dvc",
    "hydra-core",
    "pandas",
    "tensorflow-serving-api",
)
_ENOUGH_DISK_BYTES = 2_000_000_000
_ENOUGH_MEMORY_BYTES = 4_000_000_000


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    level: Literal["ok", "warning", "error"]
    what: str
    remedy: str = ""


def examine(root: Path, *, quick: bool = False) -> int:
    """Prints every finding; returns 0, or 1 where something must be mended.

    Args:
        root: The project.
        quick: Leaves out the checks that import TensorFlow and MLflow.
    """
    checks: list[Callable[[Path], Iterator[Finding]]] = [
        _python,
        _packages,
        _bytecode,
        _room,
        _project,
        _launcher,
        _ports,
    ]
    if not quick:
        checks += [_store, _dry_training]
    worst = 0
    for check in checks:
        for finding in check(root):
            say(f"{finding.level:8} {finding.what}")
            if finding.remedy:
                say(f"{'':8} to do: {finding.remedy}")
            worst |= finding.level == "error"
    return int(worst)


def _python(_root: Path) -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info < (3, 14):
        yield Finding("ok", f"Python {version}")
    else:
        yield Finding("error", f"Python {version}", "use Python 3.11, 3.12 or 3.13")


def _packages(_root: Path) -> Iterator[Finding]:
    for name in _PACKAGES:
        try:
            yield Finding("ok", f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            yield Finding("error", f"{name} is not installed", "run `make run` or `make test`")


def _bytecode(_root: Path) -> Iterator[Finding]:
    """Without .pyc files TensorFlow's import takes 15 s instead of 4."""
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or spec.origin is None:
        return
    if Path(importlib.util.cache_from_source(spec.origin)).exists():
        yield Finding("ok", "bytecode of the installed packages is compiled")
    else:
        yield Finding(
            "warning",
            "the installed packages have no compiled bytecode: every start is slow",
            f"run `{sys.executable} -m compileall -q {Path(spec.origin).parents[1]}`",
        )


def _room(root: Path) -> Iterator[Finding]:
    import psutil

    free = shutil.disk_usage(root).free
    remedy = "" if free > _ENOUGH_DISK_BYTES else "free some space: `dvc gc --workspace` helps"
    yield Finding("warning" if remedy else "ok", f"{free / 1e9:.1f} GB of disk free", remedy)
    memory = psutil.virtual_memory().available
    remedy = "" if memory > _ENOUGH_MEMORY_BYTES else "close other programs, or use fewer rows"
    yield Finding("warning" if remedy else "ok", f"{memory / 1e9:.1f} GB of memory free", remedy)
    if os.access(root, os.W_OK):
        yield Finding("ok", f"{os.cpu_count()} cores; the project folder can be written")
    else:
        yield Finding("error", "the project folder cannot be written", "change its permissions")


def _project(root: Path) -> Iterator[Finding]:
    for path, remedy in (
        (root / ".dvc", "run `dvc init` (or `dvc init --no-scm` outside git)"),
        (root / "configs" / "config.yaml", "restore it from git"),
        (root / "dvc.yaml", "run `make wiring`"),
    ):
        if path.exists():
            yield Finding("ok", f"{path.relative_to(root)} is there")
        else:
            yield Finding("error", f"{path.relative_to(root)} is missing", remedy)
    if not (root / ".git").exists():
        yield Finding(
            "warning", "no git repository here", "run `git init`: runs record their commit"
        )


def _launcher(root: Path) -> Iterator[Finding]:
    """An extra that the config needs."""
    try:
        launcher = read_params(root).get("launcher", {})
    except PipelineError:  # not composed yet
        return
    if launcher.get("name") != "ray":
        return
    try:
        require_ray()
    except ConfigError as error:
        yield Finding("error", error.came, error.remedy)
    else:
        yield Finding("ok", f"ray {importlib.metadata.version('ray')}")


def _ports(root: Path) -> Iterator[Finding]:
    try:
        serve = read_params(root).get("serve", {})
    except PipelineError:
        serve = {}
    for key, default in (("rest_port", 8501), ("grpc_port", 8500)):
        port = int(serve.get(key, default))
        with socket.socket() as probe:
            taken = probe.connect_ex(("127.0.0.1", port)) == 0
        if taken:
            yield Finding(
                "warning", f"port {port} is taken", f"serve with serve.{key}=0 for a free one"
            )
        else:
            yield Finding("ok", f"port {port} is free (serve.{key})")


def _store(root: Path) -> Iterator[Finding]:
    from pipeline.core.schema import build
    from pipeline.core.tracking import TrackingConfig, check_store

    try:
        params = read_params(root)
        where = check_store(root, build(TrackingConfig, params.get("tracking"), "tracking"))
    except PipelineError as error:
        yield Finding("warning", f"MLflow store: {error.came}", error.remedy)
    else:
        yield Finding("ok", f"MLflow store answers: {where}")


_DRY_TRAINING = """
import numpy as np, tensorflow as tf, keras
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
model.fit(np.ones((8, 4), "float32"), np.ones((8, 1), "float32"), batch_size=4, verbose=0)
print(tf.__version__, "on", ", ".join(d.device_type + ":" + d.name[-1]
      for d in tf.config.list_physical_devices()))
"""


def _dry_training(root: Path) -> Iterator[Finding]:
    """Two training steps in a process of their own: a broken install may crash outright."""
    done = subprocess.run(
        [sys.executable, "-c", _DRY_TRAINING],
        cwd=root,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    if done.returncode == 0:
        yield Finding("ok", f"two training steps ran with TensorFlow {done.stdout.strip()}")
    else:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        yield Finding("error", f"two training steps failed: {last}", "reinstall: `make clean run`")
