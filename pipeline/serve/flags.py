"""The flags of `tensorflow_model_server`, as far as this server has them."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn

from pipeline.core.errors import UsageError, nearest
from pipeline.core.runtime import quiet_tensorflow
from pipeline.serve.models import Model, Retries
from pipeline.serve.options import Options

WITHOUT_EFFECT = (
    "flush_filesystem_caches",
    "grpc_channel_arguments",
    "num_load_threads",
    "num_unload_threads",
    "remove_unused_fields_from_bundle_metagraph",
    "enable_profiler",
    "skip_initialize_tpu",
    "xla_cpu_compilation_enabled",
    "xla_gpu_compilation_enabled",
    "num_request_iterations_for_warmup",
)
"""Tuning of the C++ server: taken, so that one command line serves both, and left alone."""

REFUSED = (
    "batching_parameters_file",
    "enable_batching",
    "enable_grpc_healthcheck_service",
    "enable_per_model_batching_parameters",
    "enable_serialization_as_tensor_content",
    "enable_signature_method_name_check",
    "grpc_socket_path",
    "mixed_precision",
    "monitoring_config_file",
    "num_tflite_interpreters_per_pool",
    "num_tflite_pools",
    "per_process_gpu_memory_fraction",
    "platform_config_file",
    "prefer_tflite_model",
    "saved_model_tags",
    "ssl_config_file",
    "tensorflow_inter_op_parallelism",
    "tensorflow_intra_op_parallelism",
    "tensorflow_session_config_file",
    "thread_pool_factory_config_file",
    "use_alts_credentials",
)
"""Flags that would change what a client sees: refused rather than silently ignored."""


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


def _parser() -> _Parser:
    parser = _Parser(
        prog="python -m pipeline.serve",
        description="Serves SavedModels with the API and the flags of tensorflow_model_server.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0: every interface")
    add("--port", type=_port, default=8500, help="gRPC port; 0: a free one")
    add("--rest_api_port", type=_port, default=0, help="REST port; 0: no REST API")
    add("--model_name", default="default", help="name of the one model")
    add("--model_base_path", type=Path, help="folder of its version folders")
    add("--model_config_file", type=Path, help="ModelServerConfig as protobuf text")
    add("--model_config_file_poll_wait_seconds", type=float, default=0, help="0: read it once")
    add("--file_system_poll_wait_seconds", type=float, default=1, help="0: look for versions once")
    add("--max_num_load_retries", type=int, default=5, help="tries after a failed load")
    add("--load_retry_interval_micros", type=int, default=60_000_000, help="between tries")
    add("--rest_api_timeout_in_ms", type=int, default=30_000, help="longest REST request")
    add("--rest_api_num_threads", type=int, default=Options(()).threads, help="answering threads")
    add("--grpc_max_threads", type=int, help="the same; one number for both")
    add("--tensorflow_session_parallelism", type=int, default=0, help="threads for ops; 0: auto")
    add("--drain_seconds", type=float, default=10, help="for running requests at the end")
    add("--max_body_bytes", type=int, default=256 * 2**20, help="largest REST body")
    for name, on, text in (
        ("free_ports", False, "free ports for both APIs, printed at the start"),
        ("allow_version_labels_for_unavailable_models", False, "labels may come before versions"),
        ("enable_model_warmup", True, "replay assets.extra/tf_serving_warmup_requests"),
        ("rest_api_enable_cors_support", False, "CORS headers on REST answers"),
        ("version", False, "print versions and end"),
    ):
        add(f"--{name}", type=_truth, nargs="?", const=True, default=on, help=text)
    for name in WITHOUT_EFFECT:
        add(f"--{name}", nargs="?", help=argparse.SUPPRESS)
    return parser


def parse_flags(arguments: Sequence[str]) -> Options | None:
    """Options from command-line flags; None where only the versions are asked for.

    Raises:
        UsageError: A flag is unknown, refused or of the wrong type, or no model is named.
        PipelineError: The model config file cannot be read.
    """
    parser = _parser()
    known, unknown = parser.parse_known_args(arguments)
    if unknown:
        raise _unknown(unknown[0], vars(known))
    if known.version:
        return None
    if known.model_base_path is None and known.model_config_file is None:
        raise UsageError(
            "no model to serve",
            expected="--model_base_path=FOLDER (and --model_name) or --model_config_file=FILE",
            remedy="or run `pipeline serve`, which serves what the pipeline exported",
        )
    models: tuple[Model, ...]
    if known.model_config_file:
        # Imports TensorFlow, which a mistyped flag need not wait for.
        quiet_tensorflow()
        from pipeline.serve.model_config import read_model_config

        models = read_model_config(known.model_config_file)
    else:
        models = (Model(known.model_name, known.model_base_path.absolute()),)
    return Options(
        models=models,
        model_config_file=known.model_config_file,
        host=known.host,
        grpc_port=0 if known.free_ports else known.port,
        rest_port=0 if known.free_ports else known.rest_api_port or None,
        poll_seconds=max(known.file_system_poll_wait_seconds, 0),
        config_poll_seconds=max(known.model_config_file_poll_wait_seconds, 0),
        drain_seconds=known.drain_seconds,
        max_body_bytes=known.max_body_bytes,
        rest_timeout_seconds=known.rest_api_timeout_in_ms / 1000,
        retries=Retries(known.max_num_load_retries, known.load_retry_interval_micros / 1e6),
        early_labels=known.allow_version_labels_for_unavailable_models,
        warm_up=known.enable_model_warmup,
        cors=known.rest_api_enable_cors_support,
        threads=known.grpc_max_threads or known.rest_api_num_threads,
        session_threads=known.tensorflow_session_parallelism,
    )


def _unknown(argument: str, known: Iterable[str]) -> UsageError:
    name = argument.lstrip("-").partition("=")[0]
    if name in REFUSED:
        return UsageError(
            f"--{name} is a flag of tensorflow_model_server that this server does not have",
            remedy="leave it out, or run the real server on the same folder",
        )
    near = nearest(name, known)
    return UsageError(
        f"unknown argument: {argument}",
        remedy=f"did you mean --{near[0]}?" if near else "see `python -m pipeline.serve --help`",
    )
