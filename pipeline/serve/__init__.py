"""Serve: the exported models behind TensorFlow Serving's own API, REST and gRPC.

A command, not a DVC stage: its record is here so that its config is checked with the others.
"""

from pipeline.core.stage import Stage
from pipeline.serve.config import ServeStageConfig

STAGE = Stage(
    name="serve",
    does="serve the exported models over REST and gRPC",
    config=ServeStageConfig,
    params={"serve": "serve"},
)

__all__ = ["STAGE"]
