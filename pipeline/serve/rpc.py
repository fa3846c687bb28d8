"""The API over gRPC: PredictionService and ModelService."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import grpc
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from pipeline.serve.api import Api
from pipeline.serve.status import Code, ServingError

log = logging.getLogger(__name__)

Request = TypeVar("Request")
Response = TypeVar("Response")

_CODES: dict[Code, grpc.StatusCode] = {
    Code(code.value[0]): code for code in grpc.StatusCode if code is not grpc.StatusCode.OK
}
_OPTIONS = (
    # Two servers must not share a port by accident.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
)


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):  # type: ignore[misc]
    """Predict, Classify, Regress, MultiInference, GetModelMetadata."""

    def __init__(self, api: Api) -> None:
        self.Predict = _answering(api.predict)
        self.Classify = _answering(api.classify)
        self.Regress = _answering(api.regress)
        self.MultiInference = _answering(api.multi_inference)
        self.GetModelMetadata = _answering(api.metadata)


class ModelService(model_service_pb2_grpc.ModelServiceServicer):  # type: ignore[misc]
    """GetModelStatus, HandleReloadConfigRequest."""

    def __init__(self, api: Api) -> None:
        self.GetModelStatus = _answering(api.status)
        self.HandleReloadConfigRequest = _answering(api.reload)


def _answering(
    method: Callable[[Request], Response],
) -> Callable[[Request, grpc.ServicerContext], Response]:
    def answer(request: Request, context: grpc.ServicerContext) -> Response:
        try:
            return method(request)
        except ServingError as error:
            context.abort(_CODES[error.code], error.grpc_message)
        except Exception:
            # The client learns nothing about the inside; the log says everything.
            log.exception("%s failed", method.__name__)
            context.abort(grpc.StatusCode.INTERNAL, "internal error, see the server's log")
        raise AssertionError("abort raises")

    return answer


def make_grpc_server(api: Api, threads: int) -> grpc.Server:
    """A gRPC server that answers for `api`; it has no port yet and is not started."""
    pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="grpc")
    server = grpc.server(pool, options=_OPTIONS)
    prediction: Any = PredictionService(api)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(prediction, server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(api), server)
    return server
