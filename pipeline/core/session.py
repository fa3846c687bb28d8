"""A SavedModel as a server holds it: loaded into a session, its signatures run by tensor name.

TensorFlow Serving runs signatures so. One run costs a fifth of calling a concrete function, and
inputs may bear any name, which keyword arguments may not.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2

Array = NDArray[Any]
Runner = Callable[..., list[Any]]
_Key = tuple[tuple[str, ...], tuple[str, ...], int]

_CALLERS_THREAD = -1
_MOST_RUNNERS = 64
"""Prepared graphs kept; a client may ask for any choice of outputs in any order."""


class SavedModelSession:
    """A loaded SavedModel; may be used by several threads at once.

    Args:
        folder: Folder of the SavedModel.
        threads: Threads for running ops in parallel, and inside one op; 0 leaves it to TensorFlow.
        tags: Which of the folder's graphs to load.
        settings: Further settings of the session; `threads` goes into a copy of them.
        in_callers_thread: Whether ops run in the thread that calls `run`, one after the other. A
            small model spends more time on the way to TensorFlow's threads and back than in ops.

    Raises:
        OSError: There is no whole SavedModel in `folder`.
        tf.errors.OpError: Its variables cannot be read.
    """

    def __init__(
        self,
        folder: Path,
        threads: int = 0,
        *,
        tags: Sequence[str] = ("serve",),
        settings: config_pb2.ConfigProto | None = None,
        in_callers_thread: bool = False,
    ) -> None:
        self._pool = _CALLERS_THREAD if in_callers_thread else 0
        graph = tf.Graph()
        config = config_pb2.ConfigProto()
        if settings is not None:
            config.CopyFrom(settings)
        if threads:
            config.inter_op_parallelism_threads = threads
            config.intra_op_parallelism_threads = threads
        self._session = tf.compat.v1.Session(graph=graph, config=config)
        self._runners: dict[_Key, Runner] = {}
        self._preparing = threading.Lock()
        try:
            with graph.as_default(), _without_deprecation_notice():
                meta_graph = tf.compat.v1.saved_model.load(self._session, tags, str(folder))
        except BaseException as error:
            self._session.close()
            if isinstance(error, ValueError | RuntimeError):  # no checkpoint, no such tag
                raise OSError(str(error)) from error
            raise
        self.signatures: dict[str, meta_graph_pb2.SignatureDef] = dict(meta_graph.signature_def)

    def run(
        self, feeds: Mapping[str, Array], fetches: Sequence[str], timeout_ms: int = 0
    ) -> list[Array]:
        """Runs the graph once.

        Args:
            feeds: Arrays by the name of the graph's tensor; strings as object arrays of bytes.
            fetches: Names of the graph's tensors wanted.
            timeout_ms: Milliseconds after which the run is stopped, between two ops; 0 never.
                Use few values: the graph is prepared for each.

        Raises:
            tf.errors.OpError: An op refused; DEADLINE_EXCEEDED where it was stopped.
        """
        key = (tuple(feeds), tuple(fetches), timeout_ms)
        runner = self._runners.get(key) or self._prepared(key)
        return [
            # One string comes as the bytes themselves, everything else as an array.
            np.array(result, object) if type(result) is bytes else result
            for result in runner(*feeds.values())
        ]

    def prepare(self, feeds: Sequence[str], fetches: Sequence[str]) -> None:
        """Does what the first run of these would have to do; arguments are names, as for `run`.

        Raises:
            tf.errors.OpError: The graph has no such tensors.
        """
        self._prepared((tuple(feeds), tuple(fetches), 0))

    def _prepared(self, key: _Key) -> Runner:
        with self._preparing:  # it takes long, and many may ask for the same at once
            if key not in self._runners:
                self._runners[key] = self._make_runner(*key)
            if len(self._runners) > _MOST_RUNNERS:
                self._runners.pop(next(iter(self._runners)), None)
            return self._runners[key]

    def _make_runner(
        self, feeds: tuple[str, ...], fetches: tuple[str, ...], timeout_ms: int
    ) -> Runner:
        wanted = list(dict.fromkeys(fetches))
        # A run in the caller's thread cannot be stopped.
        pool = 0 if timeout_ms else self._pool
        how = config_pb2.RunOptions(timeout_in_ms=timeout_ms, inter_op_thread_pool=pool)
        options = config_pb2.CallableOptions(feed=feeds, fetch=wanted, run_options=how)
        # Session.make_callable, the public form, goes through Session.run when it is given feeds,
        # and costs seven times this.
        run: Runner = self._session._make_callable_from_options(options)
        if len(wanted) == len(fetches):
            return run
        positions = [wanted.index(name) for name in fetches]

        def run_and_repeat(*arrays: Array) -> list[Array]:
            results = run(*arrays)
            return [results[position] for position in positions]

        return run_and_repeat

    def answer(
        self, frame: pd.DataFrame, signature_name: str = "serving_default"
    ) -> dict[str, Array]:
        """Answers rows in served dtypes (see `table.as_served`).

        Args:
            frame: Holds every input of the signature as a column.
            signature_name: Which signature.

        Returns:
            Arrays by output name, strings as bytes.
        """
        signature = self.signatures[signature_name]
        feeds = {
            info.name: column_array(frame[column]) for column, info in signature.inputs.items()
        }
        names = sorted(signature.outputs)
        results = self.run(feeds, [signature.outputs[name].name for name in names])
        return dict(zip(names, results, strict=True))

    def close(self) -> None:
        """Frees the variables; nothing runs after this."""
        self._runners.clear()
        self._session.close()

    def __enter__(self) -> SavedModelSession:
        """The session itself."""
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Closes."""
        self.close()


@contextmanager
def _without_deprecation_notice() -> Iterator[None]:
    """The old session API is meant here, not an oversight."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        logger.setLevel(level)


def column_array(values: pd.Series[Any]) -> Array:
    """A served column as an array to feed: strings as objects, the rest as it is."""
    if isinstance(values.dtype, pd.StringDtype):
        return values.to_numpy(dtype=object)
    array: Array = np.asarray(values)
    return array
