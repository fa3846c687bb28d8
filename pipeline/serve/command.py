"""`pipeline predict`: a table in, the same table with its predictions out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from pipeline.core.artifacts import Artifacts
from pipeline.core.errors import PipelineError, UsageError
from pipeline.core.features import Column
from pipeline.core.serving_config import ServedModel, exported_versions, read_serving_config
from pipeline.serve.client import predict_frame, predict_local, server_columns
from pipeline.serve.retry import Patience
from pipeline.serve.tables import Reading, check_target, read_rows, write_rows


def predict_command(
    artifacts: Artifacts,
    source: str,
    *,
    url: str | None = None,
    model: str | None = None,
    output: str | None = None,
    delimiter: str | None = None,
    encoding: str = "utf-8",
    missing: tuple[str, ...] = (),
    patience: Patience | None = None,
) -> int:
    """Reads rows, asks the model, writes rows and predictions; returns the exit code.

    A column of words is read as words, whatever it looks like, unless the project's own training
    table held it as numbers. A failure leaves the output as it was.

    Args:
        artifacts: The project's artifacts; may be empty where `url` and `model` are given.
        source: CSV, TSV, JSONL or Parquet file, or `-` for CSV from standard input.
        url: Server to ask; None asks the exported model in this process.
        model: Model name; None: the one the project exported last.
        output: File to write; None or `-`: CSV on standard output.
        delimiter: Of CSV, where it is not a comma.
        encoding: Of CSV, TSV and JSONL.
        missing: Further words that mean a missing value.
        patience: Time limits and retries towards the server.

    Raises:
        UsageError: A file, a format, an address or the model's name is wrong.
        DataError: The table does not fit the model.
        PipelineError: The server refuses or does not answer; nothing is exported.
    """
    if output not in {None, "-"}:
        check_target(str(output))
    name = model or _only_model(artifacts, url)
    known = artifacts.features.read().columns if artifacts.features.path.exists() else ()
    taken = server_columns(url, name, columns=known, patience=patience) if url else known
    rows = read_rows(source, Reading(_words(artifacts, taken), delimiter, encoding, missing))
    if url is None:
        answers = predict_local(exported_folder(artifacts, name), rows, columns=known)
    else:
        answers = predict_frame(url, name, rows, columns=known, patience=patience)
    write_rows(_joined(rows, answers), output)
    return 0


def _joined(rows: pd.DataFrame, answers: pd.DataFrame) -> pd.DataFrame:
    """The rows as they came, then the answers; an answer's column replaces one of its name."""
    return pd.concat([rows.drop(columns=answers.columns, errors="ignore"), answers], axis=1)


def _only_model(artifacts: Artifacts, url: str | None) -> str:
    models = [model.name for model in _served_models(artifacts)]
    if len(models) == 1:
        return models[0]
    # With several, the one that the project is about now: its last run exported it.
    if artifacts.export.path.exists() and (last := artifacts.export.read().name) in models:
        return last
    if not models and url is None:
        raise PipelineError(
            "no model is exported in this project",
            remedy="run `pipeline run`, or name a server with --url and --model",
        )
    raise UsageError(
        f"{len(models) or 'no'} models are exported in this project",
        expected=f"--model NAME with one of {', '.join(models)}" if models else "--model NAME",
    )


def _served_models(artifacts: Artifacts) -> list[ServedModel]:
    path = artifacts.serving_config
    return read_serving_config(path) if path.exists() else []


def exported_folder(artifacts: Artifacts, name: str) -> Path:
    """The version folder of the champion; of the newest version where there is no champion.

    Raises:
        PipelineError: No version of the model is exported.
    """
    versions = exported_versions(artifacts, name)
    labels = {m.name: m.labels for m in _served_models(artifacts)}.get(name, {})
    if not versions:
        raise PipelineError(
            f"no version of the model '{name}' is exported in {artifacts.serving}",
            remedy="run `pipeline run`, or correct --model",
        )
    champion = labels.get("champion")
    version = champion if champion in versions else versions[-1]
    return artifacts.serving / name / str(version)


def _words(artifacts: Artifacts, columns: Sequence[Column]) -> frozenset[str]:
    """Columns to read as text, so that a code such as 007 stays what it is.

    Where the training table held numbers in a column of words, 007 became 7 there, and must here.
    """
    words = {column.name for column in columns if column.dtype == "string"}
    if artifacts.raw_table.path.exists():
        schema = parquet.read_schema(artifacts.raw_table.path)
        words -= {field.name for field in schema if not _is_text(field.type)}
    return frozenset(words)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
