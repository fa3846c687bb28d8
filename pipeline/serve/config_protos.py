"""Config files of tensorflow_model_server whose protos no package carries, in protobuf text format.

Fields and numbers are those of TensorFlow Serving's session_bundle_config.proto
(BatchingParameters), monitoring_config.proto and ssl_config.proto; a message's text format is
the same whether its class was generated or, as here, built from a description.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import (  # type: ignore[import-untyped]
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
)

from pipeline.core.errors import ConfigError, PipelineError

BATCHING = "BatchingParameters"
MONITORING = "MonitoringConfig"
SSL = "SSLConfig"

_PACKAGE = "tensorflow.serving"
_KINDS = {
    "bool": descriptor_pb2.FieldDescriptorProto.TYPE_BOOL,
    "string": descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
    "int64": descriptor_pb2.FieldDescriptorProto.TYPE_INT64,
}
_FIELDS: dict[str, dict[str, tuple[int, str]]] = {
    "Int64Value": {"value": (1, "int64")},
    "StringValue": {"value": (1, "string")},
    "BoolValue": {"value": (1, "bool")},
    BATCHING: {
        "max_batch_size": (1, "Int64Value"),
        "batch_timeout_micros": (2, "Int64Value"),
        "max_enqueued_batches": (3, "Int64Value"),
        "num_batch_threads": (4, "Int64Value"),
        "thread_pool_name": (5, "StringValue"),
        "allowed_batch_sizes": (6, "repeated int64"),
        "pad_variable_length_inputs": (7, "bool"),
        "enable_large_batch_splitting": (8, "BoolValue"),
        "max_execution_batch_size": (9, "Int64Value"),
    },
    "PrometheusConfig": {"enable": (1, "bool"), "path": (2, "string")},
    MONITORING: {"prometheus_config": (1, "PrometheusConfig")},
    SSL: {
        "server_key": (1, "string"),
        "server_cert": (2, "string"),
        "custom_ca": (3, "string"),
        "client_verify": (4, "bool"),
    },
}


def read_text_proto(path: Path, name: str) -> Any:
    """Reads a file that holds the message `name`, one of the constants above, as text.

    Raises:
        PipelineError: The file cannot be read.
        ConfigError: It is no such text.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PipelineError(
            f"the file {path} cannot be read: {error}", f"a {name} as protobuf text"
        ) from error
    try:
        return text_format.Parse(text, _classes()[name]())
    except text_format.ParseError as error:
        raise ConfigError(
            f"Error parsing text-format {_PACKAGE}.{name}: {path}: {error}",
            f"a {name} as protobuf text",
            "see its example in docs/serving.md",
        ) from error


@cache
def _classes() -> dict[str, Any]:
    """Message classes by name, in a pool of their own: real generated ones may be there too."""
    file = descriptor_pb2.FileDescriptorProto(
        name="pipeline/serve/configs.proto", package=_PACKAGE, syntax="proto3"
    )
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            added = message.field.add(name=field, number=number)
            plain = kind.removeprefix("repeated ")
            added.label = added.LABEL_OPTIONAL if plain == kind else added.LABEL_REPEATED
            added.type = _KINDS.get(plain, added.TYPE_MESSAGE)
            if plain not in _KINDS:
                added.type_name = f".{_PACKAGE}.{plain}"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in _FIELDS
    }
