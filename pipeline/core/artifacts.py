"""Every file that passes between stages: its path, reader and writer, once.

    artifacts = Artifacts(root)
    frame = artifacts.split("train").read()
    artifacts.verdict.write(Verdict(...))

Writers publish atomically (see `publishing`). Paths are relative to the project folder, so the
constants below serve `dvc.yaml` too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pipeline.core.errors import PipelineError
from pipeline.core.parquet import as_frame, parquet_rows
from pipeline.core.publishing import publish_file, publish_folder
from pipeline.core.records import (
    ExportRecord,
    Registration,
    SourceRecord,
    Split,
    TrainingRecord,
    Verdict,
)
from pipeline.core.schema import build, dump

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow.parquet as pq

    from pipeline.core.features import FeatureSet

T = TypeVar("T")

PARAMS = "params.yaml"
OVERRIDES = "overrides.yaml"
CONFIGS = "configs"
SOURCES = "data/source"
"""Local source files; DVC watches the folder."""
RAW = "data/raw"
PROCESSED = "data/processed"
PROFILE = "data/profile"
TRAINED = "models/trained"
METRICS = "models/evaluation/metrics.json"
SCORES = "models/evaluation/scores.json"
VERDICT = "models/evaluation/verdict.json"
EVALUATION_PLOTS = "models/evaluation/plots"
REGISTRATION = "models/registered/registration.json"
EXPORT_RECORD = "models/exported/export.json"
SERVING = "models/serving"
SERVING_CONFIG = "models/models.config"
BATCHING_CONFIG = "models/batching.config"
MONITORING_CONFIG = "models/monitoring.config"
PROMOTIONS = "models/history.jsonl"
"""Append-only log of who made which version the champion, when and why; kept by git."""
STATE = ".pipeline"
"""Locks, journals, logs and checkpoints: local to this machine, ignored by git."""


@dataclass(frozen=True)
class Record(Generic[T]):
    """A typed JSON file."""

    path: Path
    kind: type[T]

    def read(self) -> T:
        """Reads and checks the file.

        Raises:
            PipelineError: It is missing, or is not JSON.
            ConfigError: It does not fit `kind`.
        """
        return build(self.kind, read_json(self.path), self.path.name)

    def write(self, value: T) -> None:
        """Publishes `value` as indented JSON."""
        write_json(self.path, dump(value))


@dataclass(frozen=True)
class Table:
    """A Parquet file."""

    path: Path

    def read(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Reads the table, or some of its columns.

        Raises:
            PipelineError: It is missing or damaged.
        """
        import pyarrow.parquet as pq

        require(self.path)
        try:
            table = pq.read_table(self.path, columns=list(columns) if columns else None)
            return as_frame(table)
        except (OSError, ValueError) as error:
            raise self._unreadable(error) from error

    def parts(self, dictionaries: Iterable[str] = ()) -> pq.ParquetFile:
        """The open file, for a table that is read in parts.

        Args:
            dictionaries: Columns of text that are read as Arrow dictionaries.

        Raises:
            PipelineError: It is missing or damaged.
        """
        import pyarrow.parquet as pq

        require(self.path)
        try:
            return pq.ParquetFile(self.path, read_dictionary=list(dictionaries))
        except (OSError, ValueError) as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> PipelineError:
        return PipelineError(
            f"{self.path} cannot be read: {error}",
            expected="a Parquet file",
            remedy="remove it and run `pipeline run`",
        )

    def write(self, frame: pd.DataFrame) -> None:
        """Publishes `frame` without its index; the same frame gives the same bytes."""
        import pyarrow as pa

        with publish_file(self.path) as aside, parquet_rows(aside) as write:
            # Arrow's types say it all, and so every engine writes the same bytes.
            table = pa.Table.from_pandas(frame, preserve_index=False)
            write(table.replace_schema_metadata(None))


@dataclass(frozen=True)
class Folder:
    """A folder that is published whole."""

    path: Path

    @contextmanager
    def publish(self) -> Iterator[Path]:
        """Yields an empty folder that takes this one's place when the block ends well."""
        with publish_folder(self.path) as aside:
            yield aside


@dataclass(frozen=True)
class Artifacts:
    """All artifacts of the project in `root`."""

    root: Path

    @property
    def raw(self) -> Folder:
        """The ingested table and its record, published together."""
        return Folder(self.root / RAW)

    @property
    def raw_table(self) -> Table:
        """The source with its joins."""
        return Table(self.root / RAW / "table.parquet")

    @property
    def source(self) -> Record[SourceRecord]:
        """Where the raw table came from."""
        return Record(self.root / RAW / "source.json", SourceRecord)

    @property
    def processed(self) -> Folder:
        """The splits and the features, published together."""
        return Folder(self.root / PROCESSED)

    def split(self, name: Split) -> Table:
        """Clean rows of one split: declared columns as served, and `records.LABEL`."""
        return Table(self.root / PROCESSED / f"{name}.parquet")

    @property
    def features(self) -> Record[FeatureSet]:
        """The schema and the statistics fitted on the training split."""
        from pipeline.core.features import FeatureSet

        return Record(self.root / PROCESSED / "features.json", FeatureSet)

    @property
    def profile(self) -> Folder:
        """profile.html, profile.json and cleaning.json."""
        return Folder(self.root / PROFILE)

    @property
    def trained(self) -> Folder:
        """model.keras, history.csv, training.json and card.html, published together."""
        return Folder(self.root / TRAINED)

    @property
    def model(self) -> Path:
        """The trained Keras model, raw columns in, scores out."""
        return self.root / TRAINED / "model.keras"

    @property
    def history(self) -> Path:
        """One line an epoch: epoch, learning_rate, loss, metrics, val_loss, val_metrics."""
        return self.root / TRAINED / "history.csv"

    @property
    def training_card(self) -> Path:
        """Curves and pace of the training as one page for people."""
        return self.root / TRAINED / "card.html"

    @property
    def training(self) -> Record[TrainingRecord]:
        """What training did."""
        return Record(self.root / TRAINED / "training.json", TrainingRecord)

    @property
    def metrics(self) -> Path:
        """Nested JSON of every number measured, slices too."""
        return self.root / METRICS

    @property
    def scores(self) -> Path:
        """The few of them that fit into a table: what `dvc metrics` and `dvc exp show` print."""
        return self.root / SCORES

    @property
    def verdict(self) -> Record[Verdict]:
        """The gate."""
        return Record(self.root / VERDICT, Verdict)

    @property
    def evaluation_plots(self) -> Folder:
        """Pictures (PNG) and the points behind them (CSV)."""
        return Folder(self.root / EVALUATION_PLOTS)

    @property
    def registration(self) -> Record[Registration]:
        """The registry's answer."""
        return Record(self.root / REGISTRATION, Registration)

    @property
    def export(self) -> Record[ExportRecord]:
        """The parity proof and what was published."""
        return Record(self.root / EXPORT_RECORD, ExportRecord)

    @property
    def serving(self) -> Path:
        """NAME/VERSION folders as TensorFlow Serving wants them."""
        return self.root / SERVING

    @property
    def serving_config(self) -> Path:
        """TensorFlow Serving's model_config_list in protobuf text format, with labels."""
        return self.root / SERVING_CONFIG

    @property
    def batching_config(self) -> Path:
        """TensorFlow Serving's BatchingParameters in protobuf text format."""
        return self.root / BATCHING_CONFIG

    @property
    def monitoring_config(self) -> Path:
        """TensorFlow Serving's MonitoringConfig in protobuf text format."""
        return self.root / MONITORING_CONFIG

    @property
    def promotions(self) -> Path:
        """One JSON line for each change of the champion (see `promotions`)."""
        return self.root / PROMOTIONS


def require(path: Path) -> None:
    """Raises a PipelineError that names the command to run when `path` does not exist."""
    if not path.exists():
        raise PipelineError(
            f"{path} does not exist",
            expected="the artifact of an earlier stage",
            remedy="run `pipeline run` (or `dvc pull` where a remote has it)",
        )


def read_json(path: Path) -> Any:
    """Reads a JSON file.

    Raises:
        PipelineError: It is missing, or is not JSON.
    """
    require(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise PipelineError(
            f"{path} is damaged: {error}",
            expected="JSON",
            remedy="remove it and run `pipeline run`",
        ) from error


def write_json(path: Path, value: object) -> None:
    """Publishes `value` as indented JSON with a final newline; NaN is refused (RFC 8259)."""
    with publish_file(path) as aside:
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
        aside.write_text(text + "\n", encoding="utf-8")
