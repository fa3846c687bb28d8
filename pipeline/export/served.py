"""Infra validation: the embedded server loads a version and answers real rows before it counts.

The server is a process of its own, held to limits of memory and time, asked over both protocols;
its answers are held against the trained model's. What it cannot load, answer, or answer in time is
not published.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pandas as pd
import requests
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from pipeline.core.errors import PipelineError
from pipeline.core.features import FeatureSet
from pipeline.core.server_process import Running, ServerProcess, started
from pipeline.core.session import column_array
from pipeline.export.config import ServerCheck
from pipeline.export.proof import compare

Array = NDArray[Any]
Ask = Callable[[Running, pd.DataFrame], dict[str, Array]]

_MODEL = "candidate"
_PATIENCE_SECONDS = 600
"""How long an answer is waited for, so that one that comes too late can still be told."""
_ALONE, _TOGETHER = 8, 64
"""How many rows are sent one by one; how many rows the requests have that then send them all."""


@dataclass(frozen=True)
class Expected:
    """The rows to send, and what the trained model answers.

    Attributes:
        frame: Rows in served dtypes.
        scores: See `proof.expected_scores`.
        features: The model's features.
        tolerance: Largest difference allowed.
    """

    frame: pd.DataFrame
    scores: Array
    features: FeatureSet
    tolerance: float

    def part(self, start: int, rows: int) -> Expected:
        """Some of the rows."""
        end = start + rows
        return Expected(
            self.frame.iloc[start:end], self.scores[start:end], self.features, self.tolerance
        )


@contextmanager
def waiting_server(check: ServerCheck) -> Iterator[WaitingServer]:
    """A server that waits for its first version; it starts while the version is being made."""
    with tempfile.TemporaryDirectory() as base:
        flags = [
            f"--model_name={_MODEL}",
            f"--model_base_path={base}",
            "--file_system_poll_wait_seconds=0.05",
            "--max_num_load_retries=0",
        ]
        with started(flags, check.memory_bytes) as process:
            yield WaitingServer(process, Path(base), check)


class WaitingServer:
    """A started server without a version.

    Args:
        process: The server.
        base: Its base path.
        check: The limits.
    """

    def __init__(self, process: ServerProcess, base: Path, check: ServerCheck) -> None:
        self._process = process
        self._base = base
        self._check = check

    def validate(self, folder: Path, expected: Expected) -> float:
        """Serves `folder`, sends the rows over REST and gRPC; returns the largest difference.

        Raises:
            PipelineError: The server does not load it, takes too much memory or time, refuses a
                request, or answers another thing than the trained model; with the request.
        """
        (self._base / "1").symlink_to(folder.absolute(), target_is_directory=True)
        try:
            server = self._process.ready(self._check.start_seconds)
            largest = 0.0
            for protocol, ask in (("REST", _ask_rest), ("gRPC", _ask_grpc)):
                for request in _requests(expected):
                    largest = max(largest, self._send(server, protocol, ask, request))
        except PipelineError as error:
            raise self._explained(error) from error
        return largest

    def _send(self, server: Running, protocol: str, ask: Ask, request: Expected) -> float:
        began = time.perf_counter()
        try:
            answer = ask(server, request.frame)
        except (requests.RequestException, grpc.RpcError) as error:
            words = error.details() if isinstance(error, grpc.RpcError) else str(error)
            raise PipelineError(
                f"the server does not answer over {protocol}: {words}"
                f"\n  request:  {len(request.frame)} rows, the first is {_shown(request.frame)}"
            ) from error
        seconds = time.perf_counter() - began
        if seconds > self._check.request_seconds:
            raise PipelineError(
                f"the server took {seconds:.2f} s for a request over {protocol}"
                f"\n  request:  {len(request.frame)} rows, the first is {_shown(request.frame)}",
                expected=f"{self._check.request_seconds:g} s at most",
                remedy="make the model smaller, or raise export.server.request_seconds",
            )
        who = f"the server's answer over {protocol}"
        return compare(
            request.scores, answer, request.features, request.frame, request.tolerance, who=who
        )

    def _explained(self, error: PipelineError) -> PipelineError:
        if self._process.too_large:
            return PipelineError(
                f"the server was ended with {self._process.peak_bytes / 2**20:,.0f} MiB of memory;"
                " nothing is published",
                expected=f"{self._check.memory_bytes / 2**20:,.0f} MiB at most",
                remedy="make the model smaller, or raise export.server.memory_bytes",
            )
        return PipelineError(
            f"the embedded server does not serve this model; nothing is published: {error.came}",
            error.expected,
            error.remedy or "report it, or leave the check out with export.server.rows=0",
        )


def _requests(expected: Expected) -> Iterator[Expected]:
    rows = len(expected.frame)
    for start in range(min(_ALONE, rows)):
        yield expected.part(start, 1)
    for start in range(0, rows, _TOGETHER):
        yield expected.part(start, _TOGETHER)


def _ask_rest(server: Running, frame: pd.DataFrame) -> dict[str, Array]:
    inputs = {str(name): frame[name].tolist() for name in frame}
    url = f"{server.rest_url}/v1/models/{_MODEL}:predict"
    # NaN stands as such, as TensorFlow Serving takes it.
    body = json.dumps({"inputs": inputs}, ensure_ascii=False).encode("utf-8")
    response = requests.post(url, body, timeout=_PATIENCE_SECONDS)
    document = response.json()
    if response.status_code != requests.codes.ok:
        raise requests.HTTPError(f"{response.status_code}, {document.get('error')}")
    outputs: Mapping[str, Any] = document["outputs"]
    return {name: _array(values) for name, values in outputs.items()}


def _array(values: Any) -> Array:
    array = np.array(values)
    if array.dtype.kind == "U":
        flat = [word.encode("utf-8") for word in array.ravel().tolist()]
        return np.array(flat, object).reshape(array.shape)
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def _ask_grpc(server: Running, frame: pd.DataFrame) -> dict[str, Array]:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = _MODEL
    for name in frame:
        request.inputs[str(name)].CopyFrom(tf.make_tensor_proto(column_array(frame[name])))
    with grpc.insecure_channel(server.grpc_url.removeprefix("grpc://")) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        response = stub.Predict(request, timeout=_PATIENCE_SECONDS)
    return {name: tf.make_ndarray(tensor) for name, tensor in response.outputs.items()}


def _shown(frame: pd.DataFrame) -> str:
    text = str(frame.iloc[0].head(12).to_dict())
    return text if len(text) < 500 else f"{text[:500]}..."
