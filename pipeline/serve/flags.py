"""What the flags ask for."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence

from pipeline.core.errors import UsageError, nearest
from pipeline.core.runtime import quiet_tensorflow
from pipeline.serve.batching import Batching, read_batching
from pipeline.serve.config_protos import MONITORING, read_text_proto
from pipeline.serve.flag_parser import REFUSED, flag_parser
from pipeline.serve.metrics import DEFAULT_PATH
from pipeline.serve.models import Model, Retries
from pipeline.serve.options import GrpcOptions, Options, RestOptions, SessionOptions
from pipeline.serve.request_log import request_log_options
from pipeline.serve.tls import read_tls

_OFF = frozenset({"", "0", "false"})


def parse_flags(arguments: Sequence[str]) -> Options | None:
    """Options from command-line flags; None where only the versions are asked for.

    Raises:
        UsageError: A flag is unknown, refused or of the wrong type, or no model is named.
        ConfigError: A file that a flag names is wrong.
        PipelineError: It cannot be read.
    """
    parser = flag_parser()
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
