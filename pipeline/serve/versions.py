"""The versions of one model: which are wanted, which are loaded, and how each one fares."""

from __future__ import annotations

import enum
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from pipeline.serve.models import Model, Retries
from pipeline.serve.servable import Servable
from pipeline.serve.status import ServingError

log = logging.getLogger(__name__)

Load = Callable[[str, int, Path], Servable]
"""Loads and warms up one version of a model."""
Files = tuple[tuple[str, int, int], ...]
"""Relative path, size in bytes and modification time in nanoseconds of each file."""


class State(enum.IntEnum):
    """Life of a version; the numbers are those of ModelVersionStatus.State."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass
class VersionStatus:
    """How a version is; kept after its end, as the real server keeps it."""

    state: State = State.START
    error: ServingError | None = None
    failures: int = 0
    tried_at: float = 0.0
    tried_files: Files = ()


class Versions:
    """What is loaded of one model.

    `loaded` is replaced and never changed in place, so that requests read it without a lock; the
    manager sees to it that one thread at a time calls the methods.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.loaded: dict[int, Servable] = {}
        self.statuses: dict[int, VersionStatus] = {}
        self._wanted: frozenset[int] = frozenset()
        self._complaint = self._told = ""

    def successor(self, model: Model) -> Versions:
        """The same versions under another config of the model; this object stays usable."""
        versions = Versions(model)
        if model.base_path == self.model.base_path:
            versions.loaded, versions.statuses = self.loaded, self.statuses
            versions._wanted, versions._told = self._wanted, self._told
        return versions

    def bring_up(self, load: Load, retries: Retries) -> None:
        """Looks at the disk and loads what is wanted and not loaded; failures go to the status."""
        try:
            aspired = self.model.aspired()
        except OSError as error:  # what is loaded goes on answering
            self._complaint = f"the base path cannot be read: {error.strerror}"
            return
        self._complaint = self._lacking(aspired)
        self._wanted = frozenset(aspired)
        for version, folder in sorted(aspired.items()):
            if version not in self.loaded and self._is_due(version, folder, retries):
                self._load(version, folder, load)

    def _lacking(self, found: Collection[int]) -> str:
        missing = sorted((self.model.specific or frozenset()).difference(found))
        if missing:
            return f"version {', '.join(map(str, missing))} is to be served and is not on disk"
        return "" if found else f"no version stands in {self.model.base_path}"

    def tell(self) -> None:
        """Logs what is wrong on disk: once, not at every look, and again when it changes."""
        if self._complaint and self._complaint != self._told:
            log.warning("%s: %s", self.model.name, self._complaint)
        self._told = self._complaint

    def _is_due(self, version: int, folder: Path, retries: Retries) -> bool:
        status = self.statuses.get(version)
        if status is None or not status.failures:
            return True
        waited = time.monotonic() - status.tried_at
        again = status.failures <= retries.limit and waited >= retries.interval_seconds
        return again or _files(folder) != status.tried_files

    def _load(self, version: int, folder: Path, load: Load) -> None:
        status = self.statuses.setdefault(version, VersionStatus())
        status.state, status.error = State.LOADING, None
        status.tried_at, status.tried_files = time.monotonic(), _files(folder)
        try:
            servable = load(self.model.name, version, folder)
        except ServingError as error:
            status.state, status.error = State.END, error
            status.failures += 1
            log.warning("%s version %d does not load: %s", self.model.name, version, error)
            return
        self.loaded = {**self.loaded, version: servable}
        status.state, status.failures = State.AVAILABLE, 0
        seconds = time.monotonic() - status.tried_at
        log.info("%s version %d is available after %.1f s", self.model.name, version, seconds)

    def drop_unwanted(self) -> None:
        """Unloads what is no longer wanted, once a wanted version answers (or none is wanted)."""
        if not self._wanted or any(version in self.loaded for version in self._wanted):
            self.unload([version for version in self.loaded if version not in self._wanted])

    def unload(self, versions: Iterable[int]) -> None:
        """Takes versions away from new requests at once; frees each after its last request."""
        leaving = {version: self.loaded[version] for version in versions}
        self.loaded = {v: one for v, one in self.loaded.items() if v not in leaving}
        for version, servable in leaving.items():
            status = self.statuses[version]
            status.state = State.UNLOADING
            threading.Thread(target=_finish, args=(servable, status)).start()


def _finish(servable: Servable, status: VersionStatus) -> None:
    servable.close()
    # It may have come back in the meantime, as another servable.
    if status.state is State.UNLOADING:
        status.state = State.END
    log.info("%s version %d is unloaded", servable.name, servable.version)


def _files(folder: Path) -> Files:
    """What is in a version folder, to see whether a half-copied one has been completed."""
    found = []
    for path in sorted(folder.rglob("*")):
        try:
            facts = path.stat()
        except OSError:
            continue  # gone in the meantime: it differs from the next look, as it should
        found.append((str(path.relative_to(folder)), facts.st_size, facts.st_mtime_ns))
    return tuple(found)
