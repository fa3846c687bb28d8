"""What the REST API says of models: their status and their signatures, as proto3 JSON."""

from __future__ import annotations

from google.protobuf.json_format import MessageToJson  # type: ignore[import-untyped]
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, model_pb2

from pipeline.serve.api import SIGNATURE_DEF, Api


def status_answer(api: Api, spec: model_pb2.ModelSpec) -> bytes:
    """The versions of a model.

    Raises:
        ServingError: NOT_FOUND: there is none.
    """
    request = get_model_status_pb2.GetModelStatusRequest(model_spec=spec)
    text: str = MessageToJson(
        api.status(request), always_print_fields_with_no_presence=True, indent=1
    )
    return text.encode() + b"\n"


def metadata_answer(api: Api, spec: model_pb2.ModelSpec) -> bytes:
    """The signatures of one version.

    Raises:
        ServingError: NOT_FOUND: it is not loaded; INVALID_ARGUMENT: there is no such label.
    """
    request = get_model_metadata_pb2.GetModelMetadataRequest(
        model_spec=spec, metadata_field=[SIGNATURE_DEF]
    )
    response = api.metadata(request)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata[SIGNATURE_DEF].Unpack(signatures)
    spec_text, signatures_text = (
        MessageToJson(
            message,
            always_print_fields_with_no_presence=True,
            preserving_proto_field_name=True,
            indent=1,
        )
        for message in (response.model_spec, signatures)
    )
    return (
        f'{{\n"model_spec":{spec_text}\n,\n'
        f'"metadata": {{"signature_def": {signatures_text}\n}}\n}}\n'
    ).encode()
