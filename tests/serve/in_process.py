"""A server in this process, and what it is asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from pipeline.serve.flags import parse_flags
from pipeline.serve.server import Server


@contextmanager
def serving(base: Path, *flags: str) -> Iterator[Server]:
    """A server of the model `half`, started by its flags."""
    options = parse_flags(
        [f"--model_base_path={base}", "--model_name=half", "--free_ports", *flags]
    )
    assert options is not None
    server = Server(options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def request(*values: float, signature: str = "") -> predict_pb2.PredictRequest:
    """A question to `half`."""
    asked = predict_pb2.PredictRequest()
    asked.model_spec.name, asked.model_spec.signature_name = "half", signature
    asked.inputs["x"].CopyFrom(tf.make_tensor_proto(np.float32(values)))
    return asked


def until(holds: Callable[[], bool]) -> None:
    """Waits for a condition; fails after two minutes."""
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def rest(server: Server, path: str) -> str:
    """An address of its REST API."""
    return f"http://127.0.0.1:{server.rest_port}{path}"
