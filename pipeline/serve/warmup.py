"""Replays the requests a model brings along, so that the first caller does not pay for it."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from tensorflow_serving.apis import prediction_log_pb2

from pipeline.serve.examples import classify, multi_inference, regress
from pipeline.serve.predict import predict
from pipeline.serve.runs import finished
from pipeline.serve.servable import Servable
from pipeline.serve.status import Code, ServingError, invalid

WARMUP_FILE = Path("assets.extra", "tf_serving_warmup_requests")

_LARGEST = 1000


def warm_up(servable: Servable, folder: Path, rounds: int = 1) -> int:
    """Runs every request of `assets.extra/tf_serving_warmup_requests`; returns their number.

    As in the real server a request that fails fails the load, and more than 1,000 are refused.

    Args:
        servable: Answers them.
        folder: Its version folder.
        rounds: How often each is run.

    Raises:
        ServingError: The file is damaged, or a request in it was refused.
    """
    path = folder / WARMUP_FILE
    if not path.exists():
        return 0
    count = 0
    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            count += 1
            if count > _LARGEST:
                raise invalid(f"Number of warmup records exceeds the maximum ({_LARGEST})")
            request = _parsed(record)
            for _ in range(rounds):
                _replay(servable, request)
    except tf.errors.DataLossError as error:
        raise ServingError(
            Code.DATA_LOSS, "Please verify your warmup data is in TFRecord format."
        ) from error
    return count


def _parsed(record: bytes) -> prediction_log_pb2.PredictionLog:
    try:
        return prediction_log_pb2.PredictionLog.FromString(record)
    except DecodeError as error:
        raise invalid("Failed to parse warmup record: it is no PredictionLog") from error


def _replay(servable: Servable, log: prediction_log_pb2.PredictionLog) -> None:
    match log.WhichOneof("log_type"):
        case "predict_log":
            finished(predict(servable, log.predict_log.request))
        case "classify_log":
            finished(classify(servable, log.classify_log.request))
        case "regress_log":
            finished(regress(servable, log.regress_log.request))
        case "multi_inference_log":
            finished(multi_inference(servable, log.multi_inference_log.request))
        case "session_run_log" | "predict_streamed_log" as kind:
            number = log.DESCRIPTOR.fields_by_name[kind].number
            raise ServingError(Code.UNIMPLEMENTED, f"Unsupported log_type for warmup: {number}")
