"""The model registry: versions, their facts and their aliases, as MLflow keeps them.

    registry = open_registry(root, tracking)
    champion = registry.champion("flights")            # None before the first one
    model = tf.saved_model.load(registry.saved_model(champion))

A version is made once for one `model_hash`. The alias `champion` is what is served, `challenger`
the newest validated model that is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlparse
from urllib.request import url2pathname

import mlflow
from mlflow.exceptions import MlflowException

from pipeline.core.artifacts import STATE
from pipeline.core.errors import PipelineError, nearest
from pipeline.core.publishing import exclusive, publish_folder
from pipeline.core.tracking_store import Store

Alias = Literal["champion", "challenger"]

HASH_TAG = "model_hash"
VERDICT_TAG = "verdict"
SAVED_MODEL = "saved_model"
"""Name of the SavedModel among a version's files."""

_LOCK_SECONDS = 300.0
_LONGEST_TAG = 5000


@dataclass(frozen=True)
class ModelVersion:
    """One version of a registered model.

    Attributes:
        name: Registered model name.
        version: Its number; also the folder under models/serving/NAME.
        tags: What is known of it: `model_hash`, `verdict`, `git.commit`, `data.hash`, ...
        aliases: Names it bears now.
        run_id: MLflow run that it was registered by.
        source: Where its files are.
        created_ms: Milliseconds since the epoch.
    """

    name: str
    version: int
    tags: Mapping[str, str]
    aliases: tuple[str, ...]
    run_id: str
    source: str
    created_ms: int

    @property
    def model_hash(self) -> str:
        """Hash of its features and weights."""
        return self.tags.get(HASH_TAG, "")

    @property
    def verdict(self) -> str:
        """Its verdict when it was registered; empty where nobody judged it."""
        return self.tags.get(VERDICT_TAG, "")


@dataclass(frozen=True)
class Registry:
    """The registry of an open store."""

    store: Store

    def names(self) -> list[str]:
        """Every registered model's name."""
        with self.store.asked():
            return [model.name for model in self.store.client.search_registered_models()]

    def aliases(self, name: str) -> dict[str, int]:
        """Alias to version; empty where nothing is registered under `name`."""
        with self.store.asked():
            try:
                model = self.store.client.get_registered_model(name)
            except MlflowException as error:
                if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                    return {}
                raise
        return {alias: int(version) for alias, version in model.aliases.items()}

    def versions(self, name: str) -> list[ModelVersion]:
        """Every version, oldest first; empty where nothing is registered under `name`."""
        return self._search(f"name = '{_quoted(name)}'", name)

    def version(self, name: str, number: int) -> ModelVersion:
        """One version.

        Raises:
            PipelineError: There is no such version or name; says which there are.
        """
        known = self.versions(name)
        for version in known:
            if version.version == number:
                return version
        if known:
            numbers = ", ".join(str(version.version) for version in known)
            raise PipelineError(
                f"model '{name}' has no version {number} in the registry {self.store.where}",
                expected=f"one of {numbers}",
            )
        near = nearest(name, self.names())
        raise PipelineError(
            f"no model '{name}' in the registry {self.store.where}",
            remedy=f"did you mean {' or '.join(near)}?" if near else "run `pipeline run` first",
        )

    def champion(self, name: str) -> ModelVersion | None:
        """The version that bears `champion`; None where none does."""
        return self.bearer(name, "champion")

    def bearer(self, name: str, alias: Alias) -> ModelVersion | None:
        """The version that bears an alias; None where none does."""
        number = self.aliases(name).get(alias)
        return None if number is None else self.version(name, number)

    def with_hash(self, name: str, model_hash: str) -> ModelVersion | None:
        """The version made from this very model; None where there is none."""
        words = f"name = '{_quoted(name)}' and tags.`{HASH_TAG}` = '{_quoted(model_hash)}'"
        found = self._search(words, name)
        return found[0] if found else None

    def saved_model(self, version: ModelVersion) -> Path:
        """The version's SavedModel as a local folder; downloaded once from a remote store.

        Raises:
            PipelineError: Its files are gone from the store.
        """
        location = urlparse(version.source)
        if location.scheme in {"", "file"}:
            folder = Path(url2pathname(location.path)) / "artifacts" / SAVED_MODEL
            if not (folder / "saved_model.pb").exists():
                raise PipelineError(
                    f"the files of {version.name} version {version.version} are gone",
                    expected=f"a SavedModel in {folder}",
                    remedy="bring mlruns/ back to where it was, or delete that version in MLflow",
                )
            return folder
        kept = self.store.base / STATE / "registry" / version.name / str(version.version)
        if not kept.exists():
            with self.store.asked(), publish_folder(kept) as aside:
                mlflow.artifacts.download_artifacts(
                    f"models:/{version.name}/{version.version}",
                    dst_path=str(aside),
                    tracking_uri=self.store.uri,
                    registry_uri=self.store.uri,
                )
        return kept / "artifacts" / SAVED_MODEL

    def add(
        self, name: str, folder: Path, run_id: str | None, tags: Mapping[str, str]
    ) -> ModelVersion:
        """Makes a new version of an MLflow model folder; its tags come with it in one step.

        A kill in between leaves files that no version names, and no half-made version.

        Args:
            name: Registered model name; made where it is new.
            folder: An MLflow model, as `mlflow.pyfunc.save_model` writes it.
            run_id: MLflow run to link it with.
            tags: Facts about it, `model_hash` among them.
        """
        short = {key: value[:_LONGEST_TAG] for key, value in tags.items()}
        client = self.store.client
        with self.store.asked():
            if name not in self.names():
                client.create_registered_model(name)
            model = client.create_logged_model(
                self.store.experiment_id, name=_plain(name), source_run_id=run_id, tags=short
            )
            client.log_model_artifacts(model.model_id, str(folder))
            client.finalize_logged_model(model.model_id, "READY")
            made = client.create_model_version(
                name,
                source=model.artifact_location,
                run_id=run_id,
                tags=short,
                # Without a run, MLflow would look the model up in its global store.
                model_id=model.model_id if run_id else None,
            )
        return self.version(name, int(made.version))

    def set_alias(self, name: str, alias: Alias, number: int) -> None:
        """Gives an alias to a version and takes it from the one that had it."""
        with self.store.asked():
            self.store.client.set_registered_model_alias(name, alias, str(number))

    def drop_alias(self, name: str, alias: Alias) -> None:
        """Takes an alias from whatever version bears it."""
        with self.store.asked():
            self.store.client.delete_registered_model_alias(name, alias)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes of this project from changing versions or aliases meanwhile.

        Raises:
            BusyError: Another process has been at it for five minutes.
        """
        lock = self.store.base / STATE / "locks" / "registry.lock"
        with exclusive(lock, "the model registry", _LOCK_SECONDS):
            yield

    def _search(self, words: str, name: str) -> list[ModelVersion]:
        # The listing itself comes without aliases.
        bearers: dict[int, list[str]] = {}
        for alias, number in self.aliases(name).items():
            bearers.setdefault(number, []).append(alias)
        with self.store.asked():
            found = self.store.client.search_model_versions(words, max_results=10_000)
        versions = [_version(entry, bearers.get(int(entry.version), [])) for entry in found]
        return sorted(versions, key=lambda version: version.version)


def _version(entry: Any, aliases: list[str]) -> ModelVersion:
    return ModelVersion(
        name=entry.name,
        version=int(entry.version),
        tags=dict(entry.tags),
        aliases=tuple(sorted(aliases)),
        run_id=entry.run_id or "",
        source=entry.source,
        created_ms=int(entry.creation_timestamp),
    )


def _quoted(text: str) -> str:
    """`text` between the single quotes of MLflow's filter language."""
    return text.replace("'", "\\'")


def _plain(name: str) -> str:
    """`name` without what MLflow refuses in names of files: / : . % " '."""
    return re.sub(r"[/:.%\"']", "_", name)
