"""All models that are served: finds the version a request asks for, and takes new configs."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tensorflow_serving.apis import model_pb2

from pipeline.serve.models import Model, Retries, check_base_paths
from pipeline.serve.servable import Servable
from pipeline.serve.status import Code, ServingError, invalid, not_found
from pipeline.serve.versions import Load, Versions, VersionStatus


class Manager:
    """The versions of all models.

    Requests read the tables without waiting: these are replaced, never changed in place. Whoever
    changes what is loaded holds one lock.

    Args:
        load: Loads and warms up one version.
        retries: When failed loads are tried again.
        early_labels: Whether a new label may name a version that is not available.
        load_before_labels: Whether a label may name a version that the same config loads. The
            real server wants it loaded by an earlier config.
    """

    def __init__(
        self,
        load: Load,
        retries: Retries | None = None,
        *,
        early_labels: bool = False,
        load_before_labels: bool = False,
    ) -> None:
        self._load = load
        self._retries = retries or Retries()
        self._early_labels = early_labels
        self._load_before_labels = load_before_labels
        self._models: dict[str, Versions] = {}
        self._gone: dict[str, dict[int, VersionStatus]] = {}
        """Of models that are no longer served, or from another base path."""
        self._labels: dict[str, dict[str, int]] = {}
        self._changing = threading.Lock()

    @contextmanager
    def servable(self, spec: model_pb2.ModelSpec) -> Iterator[Servable]:
        """The version that `spec` asks for, kept loaded while the block runs.

        Raises:
            ServingError: NOT_FOUND where it is not loaded; INVALID_ARGUMENT for an empty name or
                an unknown label.
        """
        servable = self._find(spec)
        while not servable.acquire():  # unloaded in this very moment: another has taken its place
            servable = self._find(spec)
        try:
            yield servable
        finally:
            servable.release()

    def _find(self, spec: model_pb2.ModelSpec) -> Servable:
        if not spec.name:
            raise invalid("ModelSpec has no name specified.")
        version = self._asked_version(spec)
        versions = self._models.get(spec.name)
        loaded = versions.loaded if versions else {}
        newest = max(loaded) if loaded and version is None else version
        servable = None if newest is None else loaded.get(newest)
        if servable is None:
            asked = (
                f"Latest({spec.name})" if version is None else f"Specific({spec.name}, {version})"
            )
            raise not_found(f"Servable not found for request: {asked}")
        return servable

    def _asked_version(self, spec: model_pb2.ModelSpec) -> int | None:
        match spec.WhichOneof("version_choice"):
            case "version":
                return int(spec.version.value)
            case "version_label":
                version = self._labels.get(spec.name, {}).get(spec.version_label)
                if version is None:
                    raise invalid(f"Unrecognized servable version label: {spec.version_label}")
                return version
        return None

    def statuses(self, name: str) -> dict[int, VersionStatus]:
        """Every version of a model that was ever seen, newest first; empty for no such model."""
        versions = self._models.get(name)
        found = self._gone.get(name, {}) | (versions.statuses if versions else {})
        return dict(sorted(found.items(), reverse=True))

    def available(self) -> dict[str, list[int]]:
        """Versions that answer, by model."""
        return {name: sorted(versions.loaded) for name, versions in self._models.items()}

    def refresh(self) -> None:
        """Looks at the disk once: loads what is new, then unloads what is no longer wanted."""
        with self._changing:
            for versions in self._models.values():
                versions.bring_up(self._load, self._retries)
                versions.tell()
                versions.drop_unwanted()

    def apply(self, models: Sequence[Model]) -> None:
        """Serves `models` and no others; where that cannot be, all stays as it was.

        Raises:
            ServingError: A base path is missing, a new model has no version that loads, or a
                label names a version that is not available.
        """
        with self._changing:
            before = self._models
            if not self._load_before_labels:
                self._check_labels(models, before)
            check_base_paths(model for model in models if model.name not in before)
            after = {
                model.name: before[model.name].successor(model)
                if model.name in before
                else Versions(model)
                for model in models
            }
            for versions in after.values():
                versions.bring_up(self._load, self._retries)
            try:
                _check_available(after, "model(s)" if before else "servable(s)")
                if self._load_before_labels:
                    self._check_labels(models, after)
            except ServingError:
                _unload_difference(after, before)
                raise
            self._remember(before, after)
            self._models = after
            self._labels = {model.name: dict(model.labels) for model in models}
            _unload_difference(before, after)
            for versions in after.values():
                versions.drop_unwanted()

    def _check_labels(self, models: Sequence[Model], held: dict[str, Versions]) -> None:
        for model in models:
            known = self._labels.get(model.name, {})
            loaded = held[model.name].loaded if model.name in held else {}
            for label, version in model.labels.items():
                early = self._early_labels and known.get(label, version) == version
                if version not in loaded and not early:
                    raise ServingError(
                        Code.FAILED_PRECONDITION,
                        f"Request to assign label to version {version} of model {model.name}, "
                        "which is not currently available for inference",
                    )

    def _remember(self, before: dict[str, Versions], after: dict[str, Versions]) -> None:
        for name, versions in before.items():
            if name not in after or after[name].statuses is not versions.statuses:
                self._gone = {**self._gone, name: self._gone.get(name, {}) | versions.statuses}

    def close(self) -> None:
        """Unloads everything, after the last request on each version."""
        with self._changing:
            models, self._models = self._models, {}
        for versions in models.values():
            for servable in versions.loaded.values():
                servable.close()


def _check_available(models: dict[str, Versions], what: str) -> None:
    failed = []
    for name, versions in models.items():
        if versions.loaded:
            continue
        reasons = [
            f"{{{{name: {name} version: {version}}} due to error: {status.error}}}, "
            for version, status in versions.statuses.items()
            if status.error
        ]
        failed += reasons or [f"{{{{name: {name}}} has no version}}, "]
    if failed:
        text = f"{len(failed)} {what} did not become available: {{{''.join(failed)}}}"
        raise ServingError(Code.UNKNOWN, text)


def _unload_difference(leaving: dict[str, Versions], staying: dict[str, Versions]) -> None:
    """Unloads every servable of `leaving` that `staying` does not hold."""
    kept = {id(one) for versions in staying.values() for one in versions.loaded.values()}
    for versions in leaving.values():
        versions.unload([v for v, one in versions.loaded.items() if id(one) not in kept])
