"""The API over gRPC: PredictionService and ModelService."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import Any

import grpc
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from pipeline.serve.api import Api
from pipeline.serve.calls import Call, Calls
from pipeline.serve.metrics import Metrics
from pipeline.serve.options import GrpcOptions
from pipeline.serve.runs import Run, drive
from pipeline.serve.status import Code, ServingError
from pipeline.serve.tls import Tls

log = logging.getLogger(__name__)

_MOST_THREADS = (os.cpu_count() or 1) + 1
"""Threads that receive calls and answer what is quick; more would take Python from each other."""
_SERVICES = (
    "",
    "PredictionService",
    "ModelService",
    "tensorflow.serving.PredictionService",
    "tensorflow.serving.ModelService",
)
"""Names that the health service answers for: '' is the server, the next two the real server's."""


def _methods(api: Api, pool: Executor) -> dict[str, Callable[[Call], None]]:
    """What answers the calls of each method; what takes long goes to the pool."""
    prediction, model = (
        "/tensorflow.serving.PredictionService/",
        "/tensorflow.serving.ModelService/",
    )
    count = api.metrics
    answering = partial(_answering, pool)
    reload = answering(model_management_pb2.ReloadConfigRequest, _at_once(api.reload))

    def reload_elsewhere(call: Call) -> None:
        pool.submit(reload, call)

    return {
        f"{prediction}Predict": answering(
            predict_pb2.PredictRequest, _counted("Predict", api.predict, count)
        ),
        f"{prediction}Classify": answering(
            classification_pb2.ClassificationRequest, _counted("Classify", api.classify, count)
        ),
        f"{prediction}Regress": answering(
            regression_pb2.RegressionRequest, _counted("Regress", api.regress, count)
        ),
        f"{prediction}MultiInference": answering(
            inference_pb2.MultiInferenceRequest, api.multi_inference
        ),
        f"{prediction}GetModelMetadata": answering(
            get_model_metadata_pb2.GetModelMetadataRequest, _at_once(api.metadata)
        ),
        f"{model}GetModelStatus": answering(
            get_model_status_pb2.GetModelStatusRequest, _at_once(api.status)
        ),
        f"{model}HandleReloadConfigRequest": reload_elsewhere,
    }


Method = Callable[[Any], Coroutine[Any, Any, Any]]


def _counted(name: str, method: Method, metrics: Metrics) -> Method:
    async def counted(request: Any) -> Any:
        with metrics.request(request.model_spec.name, name, "GRPC"):
            return await method(request)

    return counted


def _at_once(method: Callable[[Any], Any]) -> Method:
    async def answer(request: Any) -> Any:
        return method(request)

    return answer


def _answering(pool: Executor, kind: Any, method: Method) -> Callable[[Call], None]:
    async def answer(call: Call) -> None:
        if call.is_over:  # while it waited
            call.refuse(ServingError(Code.CANCELLED, "cancelled before it was run"))
            return
        try:
            answer = await method(_parsed(kind, call.message))
            call.answer(answer.SerializeToString())
        except ServingError as error:
            call.refuse(error)
        except Exception:
            # The client learns nothing about the inside; the log says everything.
            log.exception("a gRPC request failed")
            call.refuse(ServingError(Code.INTERNAL, "internal error, see the server's log"))

    def elsewhere(run: Run) -> Executor | None:
        return pool if run.takes_long else None

    return lambda call: drive(answer(call), elsewhere, call.deadline)


def _parsed(kind: Any, message: bytes) -> Any:
    try:
        return kind.FromString(message)
    except DecodeError:
        raise ServingError(Code.INTERNAL, "Exception deserializing request!") from None


class GrpcServer:
    """A gRPC server that answers for `api`.

    Args:
        api: Answers.
        threads: Requests answered at a time.
        options: Limits, and what else is there.
    """

    def __init__(self, api: Api, threads: int, options: GrpcOptions) -> None:
        pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="health")
        self._long = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="grpc long")
        self._server = grpc.server(pool, options=_arguments(options))
        self._ended = threading.Event()
        self._health = health.HealthServicer()
        self._calls = Calls(self._server, _methods(api, self._long), min(threads, _MOST_THREADS))
        if options.health:
            health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)

    def listen(self, address: str, tls: Tls | None) -> None:
        """Adds an address, such as `127.0.0.1:8500` or `unix:/run/serving.sock`.

        Raises:
            RuntimeError: It cannot be listened on.
        """
        if tls is None:
            self._server.add_insecure_port(address)
            return
        credentials = grpc.ssl_server_credentials(
            [(tls.key.encode(), tls.certificate.encode())],
            tls.authority.encode() or None,
            require_client_auth=tls.verify_clients,
        )
        self._server.add_secure_port(address, credentials)

    def start(self) -> None:
        """Begins to answer."""
        for service in _SERVICES:
            self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        self._server.start()
        self._calls.start()

    def stop(self, seconds: float) -> None:
        """Takes no further request; cancels those that run longer than this."""
        self._health.enter_graceful_shutdown()
        self._ended = self._server.stop(seconds)

    def wait(self) -> None:
        """Waits until the last request has ended."""
        self._ended.wait()
        self._calls.end()
        self._long.shutdown()


def _arguments(options: GrpcOptions) -> list[tuple[str, int | str]]:
    return [
        # Two servers must not share a port by accident.
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", options.max_message_bytes),
        ("grpc.max_send_message_length", -1),
        # Who connects and says nothing, or has gone without a word, is let go.
        ("grpc.server_handshake_timeout_ms", 30_000),
        ("grpc.keepalive_time_ms", 120_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        *options.arguments,
    ]
