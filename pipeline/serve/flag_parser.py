"""The flags of `tensorflow_model_server`, as far as this server has them, and a few of its own."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NoReturn

from pipeline.core.errors import UsageError
from pipeline.serve.models import folder_of
from pipeline.serve.options import Options
from pipeline.serve.request_log import add_request_log_flags

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


def flag_parser() -> argparse.ArgumentParser:
    """Takes the flags; a wrong one raises a UsageError."""
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
