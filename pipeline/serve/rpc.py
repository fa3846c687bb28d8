"""The API over gRPC: PredictionService and ModelService."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from pipeline.serve.api import Api
from pipeline.serve.metrics import Metrics
from pipeline.serve.options import GrpcOptions
from pipeline.serve.status import Code, ServingError
from pipeline.serve.tls import Tls

log = logging.getLogger(__name__)

Request = TypeVar("Request")
Response = TypeVar("Response")

_CODES: dict[Code, grpc.StatusCode] = {
    Code(code.value[0]): code for code in grpc.StatusCode if code is not grpc.StatusCode.OK
}
_SERVICES = (
    "",
    "PredictionService",
    "ModelService",
    "tensorflow.serving.PredictionService",
    "tensorflow.serving.ModelService",
)
"""Names that the health service answers for: '' is the server, the next two the real server's."""


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):  # type: ignore[misc]
    """Predict, Classify, Regress, MultiInference, GetModelMetadata."""

    def __init__(self, api: Api) -> None:
        count = api.metrics
        self.Predict = _answering(_counted("Predict", api.predict, count))
        self.Classify = _answering(_counted("Classify", api.classify, count))
        self.Regress = _answering(_counted("Regress", api.regress, count))
        self.MultiInference = _answering(api.multi_inference)
        self.GetModelMetadata = _answering(api.metadata)


class ModelService(model_service_pb2_grpc.ModelServiceServicer):  # type: ignore[misc]
    """GetModelStatus, HandleReloadConfigRequest."""

    def __init__(self, api: Api) -> None:
        self.GetModelStatus = _answering(api.status)
        self.HandleReloadConfigRequest = _answering(api.reload)


def _counted(
    name: str, method: Callable[[Any], Response], metrics: Metrics
) -> Callable[[Any], Response]:
    def counted(request: Any) -> Response:
        with metrics.request(request.model_spec.name, name, "GRPC"):
            return method(request)

    return counted


def _answering(
    method: Callable[[Request], Response],
) -> Callable[[Request, grpc.ServicerContext], Response]:
    def answer(request: Request, context: grpc.ServicerContext) -> Response:
        if not context.is_active():  # its time was up, or its client gone, while it waited
            context.abort(grpc.StatusCode.CANCELLED, "cancelled before it was run")
        try:
            return method(request)
        except ServingError as error:
            context.abort(_CODES[error.code], error.grpc_message)
        except Exception:
            # The client learns nothing about the inside; the log says everything.
            log.exception("a gRPC request failed")
            context.abort(grpc.StatusCode.INTERNAL, "internal error, see the server's log")
        raise AssertionError("abort raises")

    return answer


class GrpcServer:
    """A gRPC server that answers for `api`.

    Args:
        api: Answers.
        threads: Requests answered at a time.
        options: Limits, and what else is there.
    """

    def __init__(self, api: Api, threads: int, options: GrpcOptions) -> None:
        pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="grpc")
        self._server = grpc.server(pool, options=_arguments(options))
        self._health = health.HealthServicer()
        prediction: Any = PredictionService(api)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            prediction, self._server
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(api), self._server)
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

    def stop(self, seconds: float) -> threading.Event:
        """Takes no further request; the event says that the running ones have ended, or had to."""
        self._health.enter_graceful_shutdown()
        return self._server.stop(seconds)


def _arguments(options: GrpcOptions) -> list[tuple[str, int | str]]:
    return [
        # Two servers must not share a port by accident.
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", options.max_message_bytes),
        ("grpc.max_send_message_length", -1),
        *options.arguments,
    ]
