"""The whole API once, for both protocols: protobuf requests in, protobuf answers out.

Texts and codes of TensorFlow Serving's predict_impl.cc, get_model_status_impl.cc,
get_model_metadata_impl.cc and model_service_impl.cc.
"""

from __future__ import annotations

from google.protobuf.message import Message  # type: ignore[import-untyped]
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)

from pipeline.serve import examples
from pipeline.serve import predict as prediction
from pipeline.serve.manager import Manager
from pipeline.serve.metrics import Metrics
from pipeline.serve.model_config import models_of
from pipeline.serve.status import Code, ServingError, invalid, not_found

SIGNATURE_DEF = "signature_def"


class Api:
    """Every method raises a `ServingError` where the request cannot be answered.

    Args:
        manager: Finds the version asked.
        metrics: Counts.
        tensor_content: Whether Predict answers with packed bytes in place of typed fields.
    """

    def __init__(
        self, manager: Manager, metrics: Metrics | None = None, *, tensor_content: bool = False
    ) -> None:
        self.manager = manager
        self.metrics = metrics or Metrics()
        self._tensor_content = tensor_content

    async def predict(self, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        """Predict."""
        _require_spec(request)
        with self.manager.servable(request.model_spec) as servable:
            return await prediction.predict(servable, request, as_content=self._tensor_content)

    async def classify(
        self, request: classification_pb2.ClassificationRequest
    ) -> classification_pb2.ClassificationResponse:
        """Classify."""
        _require_spec(request)
        with self.manager.servable(request.model_spec) as servable:
            response = await examples.classify(servable, request)
        self.metrics.examples(servable.name, len(response.result.classifications))
        return response

    async def regress(
        self, request: regression_pb2.RegressionRequest
    ) -> regression_pb2.RegressionResponse:
        """Regress."""
        _require_spec(request)
        with self.manager.servable(request.model_spec) as servable:
            response = await examples.regress(servable, request)
        self.metrics.examples(servable.name, len(response.result.regressions))
        return response

    async def multi_inference(
        self, request: inference_pb2.MultiInferenceRequest
    ) -> inference_pb2.MultiInferenceResponse:
        """MultiInference, on the version that the first task names."""
        spec = request.tasks[0].model_spec if request.tasks else model_pb2.ModelSpec()
        with self.manager.servable(spec) as servable:
            response = await examples.multi_inference(servable, request)
        self.metrics.examples(servable.name, len(examples.examples_of(request.input)))
        return response

    def metadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """GetModelMetadata; `signature_def` is the only field there is."""
        _require_spec(request)
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for name in request.metadata_field:
            if name != SIGNATURE_DEF:
                raise invalid(f"Metadata field {name} is not supported")
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        signatures = get_model_metadata_pb2.SignatureDefMap()
        with self.manager.servable(request.model_spec) as servable:
            response.model_spec.name = servable.name
            response.model_spec.version.value = servable.version
            for name, signature in servable.signatures.items():
                signatures.signature_def[name].CopyFrom(signature.proto)
        response.metadata[SIGNATURE_DEF].Pack(signatures)
        return response

    def status(
        self, request: get_model_status_pb2.GetModelStatusRequest
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """GetModelStatus; a label in the request is not looked at, as in the real server."""
        _require_spec(request)
        name = request.model_spec.name
        statuses = self.manager.statuses(name)
        if request.model_spec.HasField("version"):
            version = request.model_spec.version.value
            if version not in statuses:
                raise not_found(f"Could not find version {version} of model {name}")
            statuses = {version: statuses[version]}
        if not statuses:
            raise not_found(f"Could not find any versions of model {name}")
        response = get_model_status_pb2.GetModelStatusResponse()
        for version, status in statuses.items():
            one = response.model_version_status.add(version=version, state=int(status.state))
            one.status.error_code = int(status.error.code if status.error else Code.OK)
            one.status.error_message = status.error.message if status.error else ""
        return response

    def reload(
        self, request: model_management_pb2.ReloadConfigRequest
    ) -> model_management_pb2.ReloadConfigResponse:
        """HandleReloadConfigRequest: serves the models it lists and no others.

        The answer tells how much the counters that the request names grew meanwhile.
        """
        if request.config.WhichOneof("config") != "model_config_list":
            raise invalid(
                "ServerModelConfig type not supported by HandleReloadConfigRequest."
                " Only ModelConfigList is currently supported"
            )
        names = list(request.metric_names)
        before = {name: self.metrics.first_value(name) for name in names}
        self.manager.apply(models_of(request.config, self.manager.available()))
        response = model_management_pb2.ReloadConfigResponse()
        response.status.error_code = int(Code.OK)
        for name, value in before.items():
            grown = self.metrics.first_value(name) - value
            response.metric.add(name=name, int64_value_increase=grown)
        return response


def _require_spec(request: Message) -> None:
    if not request.HasField("model_spec"):
        raise ServingError(Code.INVALID_ARGUMENT, "Missing ModelSpec")
