"""One loaded SavedModel version: its signatures, and a way to run them.

Signatures run through a session, as in the real server: its status codes and texts come from
there, and one call costs a fifth of a concrete function's (see docs/serving.md).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2

from pipeline.serve.status import Code, ServingError
from pipeline.serve.tensors import Array

DEFAULT_SIGNATURE = "serving_default"

Runner = Callable[..., list[Array]]


class Servable:
    """A version of a model that can answer.

    Args:
        name: Model name.
        version: Version number.
        folder: Folder of the SavedModel.
        threads: Threads for running ops in parallel, and inside one op; 0 leaves it to TensorFlow.

    Raises:
        ServingError: The folder holds no SavedModel that loads.
    """

    def __init__(self, name: str, version: int, folder: Path, threads: int = 0) -> None:
        self.name = name
        self.version = version
        graph = tf.Graph()
        settings = tf.compat.v1.ConfigProto(
            inter_op_parallelism_threads=threads, intra_op_parallelism_threads=threads
        )
        self._session = tf.compat.v1.Session(graph=graph, config=settings)
        try:
            with graph.as_default():
                meta_graph = tf.compat.v1.saved_model.load(self._session, ["serve"], str(folder))
        except Exception as error:
            self._session.close()
            raise load_error(error, folder) from error
        self.signatures: dict[str, meta_graph_pb2.SignatureDef] = dict(meta_graph.signature_def)
        self._runners: dict[tuple[tuple[str, ...], tuple[str, ...]], Runner] = {}
        self._users = 0
        self._closing = False
        self._idle = threading.Condition()

    def run(self, feeds: dict[str, Array], fetches: Sequence[str]) -> list[Array]:
        """Runs the graph once.

        Args:
            feeds: Arrays by the name of the graph's tensor.
            fetches: Names of the graph's tensors wanted.

        Raises:
            ServingError: An op refused; with its code and text.
        """
        key = (tuple(feeds), tuple(fetches))
        runner = self._runners.get(key)
        if runner is None:
            runner = self._runners[key] = self._make_runner(*key)
        try:
            return runner(*feeds.values())
        except tf.errors.OpError as error:
            raise ServingError(Code(error.error_code), error.message) from error
        except (TypeError, ValueError) as error:
            raise ServingError(Code.INVALID_ARGUMENT, str(error)) from error

    def _make_runner(self, feeds: tuple[str, ...], fetches: tuple[str, ...]) -> Runner:
        options = config_pb2.CallableOptions(feed=feeds, fetch=dict.fromkeys(fetches))
        try:
            # Session.make_callable, the public form, goes through Session.run when it is given
            # feeds, and costs ten times this.
            callable_ = self._session._make_callable_from_options(options)  # noqa: SLF001
        except tf.errors.OpError as error:
            raise ServingError(Code(error.error_code), error.message) from error
        positions = [list(dict.fromkeys(fetches)).index(name) for name in fetches]

        def run(*arrays: Array) -> list[Any]:
            results = callable_(*arrays)
            return [results[position] for position in positions]

        return run

    def acquire(self) -> bool:
        """Takes part in the use of the session; False where it is closed or about to be."""
        with self._idle:
            if not self._closing:
                self._users += 1
            return not self._closing

    def release(self) -> None:
        """Ends what `acquire` began."""
        with self._idle:
            self._users -= 1
            self._idle.notify_all()

    def close(self) -> None:
        """Waits for the last user, then frees the session and its variables."""
        with self._idle:
            self._closing = True
            self._idle.wait_for(lambda: self._users == 0)
        self._runners.clear()
        self._session.close()


def load_error(error: Exception, folder: Path) -> ServingError:
    """Why loading failed, without the path of the folder, which is none of a client's business."""
    code = Code(error.error_code) if isinstance(error, tf.errors.OpError) else Code.NOT_FOUND
    if not isinstance(error, (tf.errors.OpError, OSError)):
        code = Code.INTERNAL
    text = getattr(error, "message", None) or str(error) or type(error).__name__
    shown = " ".join(text.replace(str(folder), f".../{folder.name}").split())
    return ServingError(code, shown)
