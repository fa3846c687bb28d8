"""The client: a table in, a table of answers out, over REST, gRPC or in this process.

    answers = predict_frame("http://127.0.0.1:8501", "flights", frame)
    answers = predict_frame("grpc://127.0.0.1:8500", "flights", frame, label="champion")
    answers = predict_local(Path("models/serving/flights/1"), frame)

Works with any TensorFlow Serving endpoint whose model takes one value a row for each input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import numpy as np
import pandas as pd

from pipeline.core.console import progress
from pipeline.core.errors import PipelineError, UsageError
from pipeline.core.features import Column
from pipeline.core.runtime import quiet_tensorflow
from pipeline.serve.exchange import (
    Array,
    SignatureFacts,
    TensorFacts,
    arrays_of,
    columns_of,
    table_of,
)
from pipeline.serve.retry import Patience

DEFAULT_SIGNATURE = "serving_default"
BATCH_ROWS = 1024
"""Rows of one request: large enough to fill a processor, small enough to answer in milliseconds."""


class Endpoint(Protocol):
    """One model behind a protocol."""

    def signature(self, name: str) -> SignatureFacts:
        """What the server says of a signature."""

    def predict(
        self, name: str, arrays: Mapping[str, Array], outputs: Mapping[str, TensorFacts]
    ) -> dict[str, Array]:
        """Sends one request."""

    def close(self) -> None:
        """Ends the connection."""


def predict_frame(
    url: str,
    model: str,
    frame: pd.DataFrame,
    *,
    columns: Sequence[Column] = (),
    version: int | None = None,
    label: str | None = None,
    signature_name: str = DEFAULT_SIGNATURE,
    batch_rows: int = BATCH_ROWS,
    patience: Patience | None = None,
) -> pd.DataFrame:
    """Asks a server about every row.

    Args:
        url: `http://`, `https://`, `grpc://` or `grpcs://`, host and port.
        model: Model name.
        frame: Raw rows in any dtypes; columns the model does not take are ignored.
        columns: Columns as the model was trained with, where they are known; see `columns_of`.
        version: Version to ask; None: the newest, or that of `label`.
        label: Version label to ask.
        signature_name: Signature to ask.
        batch_rows: Rows of one request.
        patience: Time limits and retries.

    Returns:
        With the index of `frame`: `score_CLASS` for each class, `predicted` and `version`, or
        `value` and `version`, or whatever another model answers; see `exchange.table_of`.

    Raises:
        UsageError: The scheme is unknown, or version and label are both given.
        DataError: A column is missing or holds values of another kind.
        PipelineError: No server answers, or it refuses; in its own words.
    """
    if version is not None and label is not None:
        raise UsageError("both a version and a label were given", remedy="give one of them")
    with closing(_endpoint(url, model, version, label, patience)) as endpoint:
        signature = endpoint.signature(signature_name)
        arrays = arrays_of(frame, signature, columns)

        def ask(batch: dict[str, Array]) -> dict[str, Array]:
            return endpoint.predict(signature_name, batch, signature.outputs)

        return _in_batches(ask, arrays, frame.index, batch_rows)


def server_columns(
    url: str,
    model: str,
    *,
    columns: Sequence[Column] = (),
    signature_name: str = DEFAULT_SIGNATURE,
    patience: Patience | None = None,
) -> list[Column]:
    """The columns a served model takes; see `predict_frame` for the arguments and errors."""
    with closing(_endpoint(url, model, None, None, patience)) as endpoint:
        return columns_of(endpoint.signature(signature_name), columns)


def _endpoint(
    url: str, model: str, version: int | None, label: str | None, patience: Patience | None
) -> Endpoint:
    scheme = urlsplit(url).scheme
    if scheme in {"http", "https"}:
        from pipeline.serve.client_rest import RestEndpoint

        return RestEndpoint(url, model, version=version, label=label, patience=patience)
    if scheme in {"grpc", "grpcs"}:
        quiet_tensorflow()
        from pipeline.serve.client_grpc import GrpcEndpoint

        return GrpcEndpoint(url, model, version=version, label=label, patience=patience)
    raise UsageError(
        f"'{url}' is no address of a server",
        expected="http://HOST:PORT, https://HOST:PORT, grpc://HOST:PORT or grpcs://HOST:PORT",
        remedy="the embedded server says its addresses when it starts",
    )


def predict_local(
    folder: Path,
    frame: pd.DataFrame,
    *,
    columns: Sequence[Column] = (),
    batch_rows: int = 4 * BATCH_ROWS,
) -> pd.DataFrame:
    """Answers every row in this process, with the signature a server would use.

    Args:
        folder: A version folder, as `export` publishes it.
        frame: See `predict_frame`.
        columns: See `predict_frame`.
        batch_rows: Rows run at a time.

    Raises:
        PipelineError: The folder holds no SavedModel that loads.
        DataError: A column is missing or holds values of another kind.
    """
    quiet_tensorflow()
    from pipeline.serve.local import LocalModel

    with closing(LocalModel(folder)) as model:
        arrays = arrays_of(frame, model.signature, columns)
        return _in_batches(model.predict, arrays, frame.index, batch_rows)


def _in_batches(
    ask: Callable[[dict[str, Array]], dict[str, Array]],
    arrays: dict[str, Array],
    index: pd.Index[Any],
    batch_rows: int,
) -> pd.DataFrame:
    rows = len(index)
    answers: list[dict[str, Array]] = []
    with progress("predicting", max(rows, 1)) as advance:
        for start in range(0, max(rows, 1), batch_rows):
            batch = {name: array[start : start + batch_rows] for name, array in arrays.items()}
            try:
                answers.append(ask(batch))
            except PipelineError as error:
                last = min(start + batch_rows, rows)
                raise PipelineError(
                    f"rows {start + 1} to {last} of {rows}: {error.came}",
                    error.expected,
                    error.remedy,
                ) from error
            advance(min(batch_rows, rows - start), "")
    joined = {name: np.concatenate([one[name] for one in answers]) for name in answers[0]}
    return table_of(joined, index)
