"""The door of `serve`: `pipeline serve` calls it, DVC never does."""

from __future__ import annotations

from pathlib import Path

from pipeline.core.artifacts import Artifacts
from pipeline.core.errors import ConfigError, PipelineError
from pipeline.core.runtime import quiet_tensorflow
from pipeline.core.stage import Context
from pipeline.serve.backend import start_real_server, write_server_files
from pipeline.serve.batching import read_batching
from pipeline.serve.config import RequestLogConfig, ServeConfig, ServeStageConfig
from pipeline.serve.options import Options, RestOptions, SessionOptions
from pipeline.serve.ports import check_ports
from pipeline.serve.request_log import RequestLogOptions
from pipeline.serve.tls import read_tls


def run(config: ServeStageConfig, artifacts: Artifacts, context: Context) -> None:  # noqa: ARG001
    """Serves what this project exported until Ctrl-C or SIGTERM.

    Raises:
        PipelineError: See `serve`.
    """
    serve(config.serve, artifacts)


def serve(config: ServeConfig, artifacts: Artifacts, personal: frozenset[str] = frozenset()) -> int:
    """Serves models/models.config until Ctrl-C or SIGTERM; returns the exit code.

    A promotion, a rollback or a new export is taken over while the server runs. With another
    backend than the embedded one this process becomes that server.

    Args:
        config: The section `serve`.
        artifacts: The project's.
        personal: Columns of personal data, which the request log never holds.

    Raises:
        ConfigError: The backend keeps no request log, and one is wanted.
        PipelineError: Nothing is exported, a port is taken, or a model does not load.
    """
    path = artifacts.serving_config
    if not path.exists():
        raise PipelineError(
            "no model is exported in this project", remedy="run `pipeline run` first"
        )
    if config.request_log.file and config.backend != "embedded":
        raise ConfigError(
            f"serve.request_log.file is set, but serve.backend is {config.backend}",
            expected="serve.backend=embedded, which writes the log",
            remedy='set serve.request_log.file="" or serve.backend=embedded',
        )
    files = write_server_files(config, artifacts)
    if config.backend != "embedded":
        start_real_server(config, files)
    # Before TensorFlow is imported: a wrong port should cost no time.
    check_ports(config.host, config.rest_port, config.grpc_port)
    quiet_tensorflow()
    from pipeline.serve.model_config import read_models
    from pipeline.serve.run import serve_until_signalled

    options = Options(
        models=read_models(path, artifacts.serving),
        model_config_file=path,
        serving_folder=artifacts.serving,
        host=config.host,
        grpc_port=config.grpc_port,
        rest_port=config.rest_port,
        poll_seconds=config.poll_seconds,
        config_poll_seconds=config.poll_seconds,
        drain_seconds=config.drain_seconds,
        load_before_labels=True,
        session=SessionOptions(batching=read_batching(files.batching) if files.batching else None),
        rest=RestOptions(max_body_bytes=config.max_body_bytes, metrics_path=config.metrics_path),
        tls=read_tls(Path(config.ssl_config_file)) if config.ssl_config_file else None,
        request_log=_request_log(config.request_log, artifacts, personal),
    )
    return serve_until_signalled(options)


def _request_log(
    config: RequestLogConfig, artifacts: Artifacts, personal: frozenset[str]
) -> RequestLogOptions | None:
    if not config.file:
        return None
    return RequestLogOptions(
        path=artifacts.root / config.file,
        sampling=config.sampling,
        max_bytes=config.max_bytes,
        files=config.files,
        omit=personal | frozenset(config.omit),
    )
