"""How a version folder becomes a session: threads, tags, session settings, batching."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from google.protobuf import text_format  # type: ignore[import-untyped]
from tensorflow.core.protobuf import config_pb2

from pipeline.core.errors import ConfigError, PipelineError
from pipeline.core.session import SavedModelSession
from pipeline.serve.batching import PER_MODEL_FILE, Batching, read_batching
from pipeline.serve.options import SessionOptions


@dataclass(frozen=True)
class Loading:
    """What every version is loaded with.

    Attributes:
        tags: Which graph of the SavedModel is served.
        settings: Settings of TensorFlow's session.
        batching: How batches are made; None: every request runs by itself.
        per_model: Whether a version brings its own batching parameters or is not batched.
    """

    tags: tuple[str, ...] = ("serve",)
    settings: config_pb2.ConfigProto | None = None
    batching: Batching | None = None
    per_model: bool = False

    def session(self, folder: Path) -> SavedModelSession:
        """Loads a version folder.

        Raises:
            OSError: See `SavedModelSession`; so for `tf.errors.OpError`.
        """
        own = self.settings.inter_op_parallelism_threads if self.settings else 0
        return SavedModelSession(
            folder, tags=self.tags, settings=self.settings, in_callers_thread=not own
        )

    def batching_of(self, folder: Path) -> Batching | None:
        """How a version's requests are batched; None: not.

        Raises:
            PipelineError: The version's own batching parameters are wrong.
        """
        if self.batching is None or not self.per_model:
            return self.batching
        own = folder / PER_MODEL_FILE
        return read_batching(own) if own.exists() else None


def loading_of(options: SessionOptions) -> Loading:
    """What the server's options ask for.

    Raises:
        PipelineError: The session config file cannot be read.
        ConfigError: It is no ConfigProto.
    """
    settings = config_pb2.ConfigProto()
    if options.config_file:
        settings = _read_settings(options.config_file)
    settings.intra_op_parallelism_threads = options.intra_op_threads
    settings.inter_op_parallelism_threads = options.inter_op_threads
    if options.gpu_memory_fraction:
        settings.gpu_options.per_process_gpu_memory_fraction = options.gpu_memory_fraction
    return Loading(options.tags, settings, options.batching, options.per_model_batching)


def _read_settings(path: Path) -> config_pb2.ConfigProto:
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), config_pb2.ConfigProto())
    except OSError as error:
        raise PipelineError(f"the file {path} cannot be read: {error.strerror}") from error
    except text_format.ParseError as error:
        raise ConfigError(
            f"Error parsing text-format tensorflow.ConfigProto: {path}: {error}",
            "a tensorflow.ConfigProto as protobuf text",
        ) from error
