"""The flags of `tensorflow_model_server`, as far as this server has them, and a few of its own."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn

from pipeline.core.errors import UsageError, nearest
from pipeline.core.runtime import quiet_tensorflow
from pipeline.serve.batching import Batching, read_batching
from pipeline.serve.config_protos import MONITORING, read_text_proto
from pipeline.serve.metrics import DEFAULT_PATH
from pipeline.serve.models import Model, Retries, folder_of
from pipeline.serve.options import GrpcOptions, Options, RestOptions, SessionOptions
from pipeline.serve.request_log import add_request_log_flags, request_log_options
from pipeline.serve.tls import read_tls

WITHOUT_EFFECT = (
    "flush_filesystem_caches",
    "num_load_threads",
    "num_unload_threads",
    "remove_unused_fields_from_bundle_metagraph",
    "enable_profiler",
    "num_tflite_interpreters_per_pool",
    "num_tflite_pools",
    "skip_initialize_tpu",
    "xla_cpu_compilation_enabled",
    "xla_gpu_compilation_enabled",
)
"""Tuning of the C++ server: taken, so that one command line serves both, and left alone."""

REFUSED = (
    "mixed_precision",
    "platform_config_file",
    "prefer_tflite_model",
    "thread_pool_factory_config_file",
    "use_alts_credentials",
)
"""Flags that would change what a client sees: refused, unless they say what is so anyway."""

_OFF = frozenset({"", "0", "false"})


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message, remedy="see `python -m pipeline.serve --help`")


def _truth(text: str) -> bool:
    if text.lower() in {"true", "1"}:
        return True
    if text.lower() in {"false", "0"}:
        return False
    raise argparse.ArgumentTypeError(f"'{text}' is neither true nor false")


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"'{text}' is no port (0 to 65535)")
    return int(text)


def _arguments(text: str) -> tuple[tuple[str, int | str], ...]:
    """`a=1,b=word` as pairs; whole numbers as such."""
    found: list[tuple[str, int | str]] = []
    for part in filter(None, text.split(",")):
        name, equals, value = part.partition("=")
        if not equals:
            raise argparse.ArgumentTypeError(f"'{part}' is not NAME=VALUE")
        found.append((name.strip(), int(value) if value.lstrip("-").isdigit() else value))
    return tuple(found)


def _parser() -> _Parser:
    parser = _Parser(
        prog="python -m pipeline.serve",
        description="Serves SavedModels with the API and the flags of tensorflow_model_server.",
        allow_abbrev=False,
    )
    for title, add_flags in (
        ("models", _add_model_flags),
        ("APIs", _add_api_flags),
        ("running", _add_running_flags),
        ("request log", add_request_log_flags),
    ):
        add_flags(parser.add_argument_group(title))
    for name in (*WITHOUT_EFFECT, *REFUSED):
        parser.add_argument(f"--{name}", nargs="?", const="true", help=argparse.SUPPRESS)
    return parser


def _switch(group: argparse._ArgumentGroup, name: str, text: str, *, on: bool = False) -> None:
    group.add_argument(f"--{name}", type=_truth, nargs="?", const=True, default=on, help=text)


def _add_model_flags(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--model_name", default="default", help="name of the one model")
    add("--model_base_path", type=folder_of, help="folder of its version folders")
    add("--model_config_file", type=Path, help="ModelServerConfig as protobuf text")
    add("--model_config_file_poll_wait_seconds", type=float, default=0, help="0: read it once")
    add("--file_system_poll_wait_seconds", type=float, default=1, help="0: look for versions once")
    add("--max_num_load_retries", type=int, default=5, help="tries after a failed load")
    add("--load_retry_interval_micros", type=int, default=60_000_000, help="between tries")
    add("--saved_model_tags", default="serve", help="comma-separated; which graph is served")
    text = "new labels may name versions that are not loaded yet"
    _switch(group, "allow_version_labels_for_unavailable_models", text)
    text = "a signature must be of the method that is asked for"
    _switch(group, "enable_signature_method_name_check", text)
    _switch(group, "enable_model_warmup", "replay assets.extra/tf_serving_warmup_requests", on=True)
    add("--num_request_iterations_for_warmup", type=int, default=1, help="replay each so often")


def _add_api_flags(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0: every interface")
    add("--port", type=_port, default=8500, help="gRPC port; 0: a free one, or the socket alone")
    add("--grpc_socket_path", help="UNIX socket for gRPC besides")
    add("--grpc_channel_arguments", type=_arguments, default=(), help="NAME=VALUE,...")
    add("--grpc_max_message_bytes", type=int, default=-1, help="largest gRPC request; -1: any")
    add("--rest_api_port", type=_port, default=0, help="REST port; 0: no REST API")
    _switch(group, "free_ports", "free ports for both APIs, printed at the start")
    add("--rest_api_timeout_in_ms", type=int, default=30_000, help="longest REST request; 0: any")
    add("--rest_api_max_connections", type=int, help="503 beyond; default: any number")
    add("--max_body_bytes", type=int, default=256 * 2**20, help="largest REST body")
    _switch(group, "rest_api_enable_cors_support", "CORS headers on REST answers")
    add("--monitoring_config_file", type=Path, help="MonitoringConfig: Prometheus page over REST")
    add("--ssl_config_file", type=Path, help="SSLConfig: TLS for both APIs")
    _switch(group, "enable_grpc_healthcheck_service", "grpc.health.v1", on=True)
    text = "Predict answers in tensor_content"
    _switch(group, "enable_serialization_as_tensor_content", text)


def _add_running_flags(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--rest_api_num_threads", type=int, default=Options(()).threads, help="answering threads")
    add("--grpc_max_threads", type=int, help="the same; one number for both")
    _switch(group, "enable_batching", "run the rows of several requests together")
    add("--batching_parameters_file", type=Path, help="BatchingParameters as protobuf text")
    text = "batching_params.pbtxt in each version folder says how it is batched"
    _switch(group, "enable_per_model_batching_parameters", text)
    add("--tensorflow_session_parallelism", type=int, default=0, help="threads for ops; 0: auto")
    add("--tensorflow_intra_op_parallelism", type=int, default=0, help="threads inside one op")
    add("--tensorflow_inter_op_parallelism", type=int, default=0, help="ops beside each other")
    add("--tensorflow_session_config_file", type=Path, help="ConfigProto as protobuf text")
    add("--per_process_gpu_memory_fraction", type=float, default=0.0, help="0 to 1; 0: auto")
    add("--drain_seconds", type=float, default=10, help="for running requests at the end")
    _switch(group, "end_with_stdin", "end when the standard input is closed")
    _switch(group, "version", "print versions and end")


def parse_flags(arguments: Sequence[str]) -> Options | None:
    """Options from command-line flags; None where only the versions are asked for.

    Raises:
        UsageError: A flag is unknown, refused or of the wrong type, or no model is named.
        ConfigError: A file that a flag names is wrong.
        PipelineError: It cannot be read.
    """
    parser = _parser()
    known, unknown = parser.parse_known_args(arguments)
    if unknown:
        raise _unknown(unknown[0], vars(known))
    if known.version:
        return None
    _check(known)
    no_port = known.port == 0 and known.grpc_socket_path and not known.free_ports
    return Options(
        models=_models(known),
        model_config_file=known.model_config_file,
        host=known.host,
        grpc_port=None if no_port else 0 if known.free_ports else known.port,
        rest_port=0 if known.free_ports else known.rest_api_port or None,
        poll_seconds=max(known.file_system_poll_wait_seconds, 0),
        config_poll_seconds=max(known.model_config_file_poll_wait_seconds, 0),
        drain_seconds=known.drain_seconds,
        retries=Retries(known.max_num_load_retries, known.load_retry_interval_micros / 1e6),
        early_labels=known.allow_version_labels_for_unavailable_models,
        warm_up=max(known.num_request_iterations_for_warmup, 1) * known.enable_model_warmup,
        check_methods=known.enable_signature_method_name_check,
        end_with_stdin=known.end_with_stdin,
        threads=known.grpc_max_threads or known.rest_api_num_threads,
        session=_session(known),
        rest=_rest(known),
        grpc=GrpcOptions(
            socket=known.grpc_socket_path,
            arguments=known.grpc_channel_arguments,
            max_message_bytes=known.grpc_max_message_bytes,
            health=known.enable_grpc_healthcheck_service,
            tensor_content=known.enable_serialization_as_tensor_content,
        ),
        tls=read_tls(known.ssl_config_file) if known.ssl_config_file else None,
        request_log=request_log_options(known),
    )


def _check(known: argparse.Namespace) -> None:
    for name in REFUSED:
        if (getattr(known, name) or "").lower() not in _OFF:
            raise UsageError(
                f"--{name} is a flag of tensorflow_model_server that this server does not have",
                remedy="leave it out, or run the real server on the same folder",
            )
    if known.model_base_path is None and known.model_config_file is None:
        raise UsageError(
            "no model to serve",
            expected="--model_base_path=FOLDER (and --model_name) or --model_config_file=FILE",
            remedy="or run `pipeline serve`, which serves what the pipeline exported",
        )
    if known.batching_parameters_file and not known.enable_batching:
        raise UsageError("--batching_parameters_file is set without --enable_batching")
    if known.rest_api_port and known.rest_api_port == known.port and not known.free_ports:
        raise UsageError(
            f"--port and --rest_api_port are both {known.port}", remedy="give each API its own"
        )
    if known.tensorflow_session_parallelism and (
        known.tensorflow_intra_op_parallelism or known.tensorflow_inter_op_parallelism
    ):
        raise UsageError(
            "--tensorflow_session_parallelism is set beside the two numbers that it stands for",
            remedy="set it, or --tensorflow_intra_op_parallelism and --..._inter_op_parallelism",
        )


def _models(known: argparse.Namespace) -> tuple[Model, ...]:
    if not known.model_config_file:
        return (Model(known.model_name, known.model_base_path.absolute()),)
    # Imports TensorFlow, which a mistyped flag need not wait for.
    quiet_tensorflow()
    from pipeline.serve.model_config import read_model_config

    return read_model_config(known.model_config_file)


def _session(known: argparse.Namespace) -> SessionOptions:
    both = known.tensorflow_session_parallelism
    batching = None
    if known.enable_batching:
        file = known.batching_parameters_file
        batching = read_batching(file) if file else Batching()
    return SessionOptions(
        intra_op_threads=both or known.tensorflow_intra_op_parallelism,
        inter_op_threads=both or known.tensorflow_inter_op_parallelism,
        config_file=known.tensorflow_session_config_file,
        gpu_memory_fraction=known.per_process_gpu_memory_fraction,
        tags=tuple(known.saved_model_tags.split(",")),
        batching=batching,
        per_model_batching=known.enable_per_model_batching_parameters,
    )


def _rest(known: argparse.Namespace) -> RestOptions:
    path = None
    if known.monitoring_config_file:
        prometheus = read_text_proto(known.monitoring_config_file, MONITORING).prometheus_config
        path = (prometheus.path or DEFAULT_PATH) if prometheus.enable else None
    return RestOptions(
        max_body_bytes=known.max_body_bytes,
        timeout_seconds=max(known.rest_api_timeout_in_ms, 0) / 1000 or None,
        max_connections=known.rest_api_max_connections,
        cors=known.rest_api_enable_cors_support,
        metrics_path=path,
    )


def _unknown(argument: str, known: Iterable[str]) -> UsageError:
    name = argument.lstrip("-").partition("=")[0]
    near = nearest(name, known)
    return UsageError(
        f"unknown argument: {argument}",
        remedy=f"did you mean --{near[0]}?" if near else "see `python -m pipeline.serve --help`",
    )
