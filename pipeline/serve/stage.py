"""The door of `serve`: `pipeline serve` calls it, DVC never does."""

from __future__ import annotations

from pipeline.core.artifacts import Artifacts
from pipeline.core.errors import PipelineError
from pipeline.core.runtime import quiet_tensorflow
from pipeline.core.stage import Context
from pipeline.serve.config import ServeConfig, ServeStageConfig
from pipeline.serve.options import Options, RestOptions
from pipeline.serve.ports import check_ports


def run(config: ServeStageConfig, artifacts: Artifacts, context: Context) -> None:  # noqa: ARG001
    """Serves what this project exported until Ctrl-C or SIGTERM.

    Raises:
        PipelineError: See `serve`.
    """
    serve(config.serve, artifacts)


def serve(config: ServeConfig, artifacts: Artifacts) -> int:
    """Serves models/models.config until Ctrl-C or SIGTERM; returns the exit code.

    A promotion, a rollback or a new export is taken over while the server runs.

    Raises:
        PipelineError: Nothing is exported, a port is taken, or a model does not load.
    """
    path = artifacts.serving_config
    if not path.exists():
        raise PipelineError(
            "no model is exported in this project", remedy="run `pipeline run` first"
        )
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
        rest=RestOptions(max_body_bytes=config.max_body_bytes),
    )
    return serve_until_signalled(options)
