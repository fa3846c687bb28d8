"""A session that runs the rows of several callers as one batch.

TensorFlow's `BatchFunction` op holds each caller's rows in the shared batch scheduler that the
real server uses too, runs the signature's graph once over many of them, and gives each caller its
own part: all in C++, without Python's lock.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import config_pb2

from pipeline.core.session import Array, Runner, SavedModelSession
from pipeline.serve.batching import Batching

log = logging.getLogger(__name__)

_MOST_QUEUES = 16
"""Queues of one signature: one for each shape of a row. Rows of further shapes run unbatched."""
_OUTPUTS_UNFIT = "Batched output tensor"

Names = tuple[str, ...]
Key = tuple[Names, Names]


class BatchSession(SavedModelSession):
    """Runs whole signatures in batches, everything else as it comes.

    Args:
        folder: Folder of the SavedModel.
        batching: How batches are made.
        threads: See `SavedModelSession`.
        tags: See `SavedModelSession`.
        settings: See `SavedModelSession`.

    Raises:
        OSError: See `SavedModelSession`; so for `tf.errors.OpError`.
    """

    def __init__(
        self,
        folder: Path,
        batching: Batching,
        threads: int = 0,
        *,
        tags: Sequence[str] = ("serve",),
        settings: config_pb2.ConfigProto | None = None,
    ) -> None:
        super().__init__(folder, threads, tags=tags, settings=settings)
        self._batching = batching
        self._building = threading.Lock()
        self._counting = threading.Lock()
        self._running = 0
        # As in the real server: a request for some of the outputs only is not batched.
        self._batched: dict[Key, dict[tuple[Any, ...], Runner | None]] = {
            _key(signature.inputs.values(), signature.outputs.values()): {}
            for signature in self.signatures.values()
            if signature.inputs and signature.outputs
        }

    def run(self, feeds: Mapping[str, Array], fetches: Sequence[str]) -> list[Array]:
        """As `SavedModelSession.run`, in a batch with other callers' rows where that can be.

        Raises:
            tf.errors.OpError: An op refused; INVALID_ARGUMENT where the request has more rows
                than a batch may, or its inputs differ in theirs; UNAVAILABLE where the queue is
                full.
        """
        names = tuple(sorted(feeds))
        key = (names, tuple(sorted(set(fetches))))
        runners = self._batched.get(key)
        if runners is None:
            return super().run(feeds, fetches)
        arrays = [feeds[name] for name in names]
        self._check_rows(arrays)
        shapes = tuple(array.shape[1:] for array in arrays)
        runner = runners[shapes] if shapes in runners else self._queue(key, shapes)
        if runner is None or not len(arrays[0]):
            return super().run(feeds, fetches)
        with self._counting:
            at_once = self._may_run_at_once(len(arrays[0]))
            self._running += 1
        try:
            if at_once:
                return super().run(feeds, fetches)
            results = self._run_in_batch(key, runner, arrays)
            if results is None:  # another caller's row may be to blame: each is judged by its own
                return super().run(feeds, fetches)
        finally:
            with self._counting:
                self._running -= 1
        found = dict(zip(key[1], results, strict=True))
        return [found[name] for name in fetches]

    def _may_run_at_once(self, rows: int) -> bool:
        """Whether the scheduler would run these rows by themselves, and now.

        It would where a thread is free and batches wait for nothing; its part can then be saved.
        """
        batching = self._batching
        return (
            not batching.timeout_micros
            and self._running < batching.threads
            and (not batching.sizes or rows in batching.sizes)
        )

    def _run_in_batch(
        self, key: Key, runner: Runner, arrays: Sequence[Array]
    ) -> list[Array] | None:
        """The answers, or None where an op refused the batch."""
        try:
            return runner(*arrays)
        except tf.errors.UnavailableError as error:
            raise tf.errors.UnavailableError(None, None, _first_line(error)) from error
        except tf.errors.OpError as error:
            if _OUTPUTS_UNFIT in error.message:
                log.warning("a signature's answers have no row for each row: not batched")
                self._batched[key][tuple(array.shape[1:] for array in arrays)] = None
            return None

    def _check_rows(self, arrays: Sequence[Array]) -> None:
        if any(array.ndim == 0 for array in arrays):
            raise _invalid("Batching Run() input tensors must have at least one dimension")
        rows = len(arrays[0])
        if any(len(array) != rows for array in arrays):
            raise _invalid("Batching Run() input tensors must have equal 0th-dimension size")
        if rows > self._batching.max_batch_size:
            raise _invalid(
                f"Task size {rows} is larger than maximum input batch size "
                f"{self._batching.max_batch_size}"
            )

    def _queue(self, key: Key, shapes: tuple[Any, ...]) -> Runner | None:
        """The runner for rows of these shapes; None: they run unbatched.

        Rows of different shapes never share a batch, so that none has to be padded and no caller
        can spoil another's.
        """
        with self._building:
            runners = self._batched[key]
            if shapes not in runners:
                if len(runners) >= _MOST_QUEUES:
                    return None
                runners[shapes] = self._build(key, f"{key} {shapes}")
            return runners[shapes]

    def _build(self, key: Key, queue: str) -> Runner | None:
        graph = self._session.graph
        feeds, fetches = key
        with graph.as_default():
            inputs = [graph.get_tensor_by_name(name) for name in feeds]
            function = _function(graph, inputs, fetches)
            if function is None:
                log.warning("a signature keeps state that cannot be shared: not batched")
                return None
            # Any shape: kernels judge shapes, as they do without batching.
            entries = [tf.compat.v1.placeholder(tensor.dtype) for tensor in inputs]
            results = tf.raw_ops.BatchFunction(
                in_tensors=entries,
                captured_tensors=[],
                f=function,
                Tout=[output.dtype for output in function.outputs],
                num_batch_threads=self._batching.threads,
                max_batch_size=self._batching.max_batch_size,
                batch_timeout_micros=self._batching.timeout_micros,
                max_enqueued_batches=self._batching.max_enqueued_batches,
                allowed_batch_sizes=list(self._batching.sizes),
                enable_large_batch_splitting=self._batching.split,
                container="",
                shared_name="batches",  # one scheduler, so one set of threads, for all queues
                batching_queue=queue,
            )
        options = config_pb2.CallableOptions(
            feed=[entry.name for entry in entries], fetch=[result.name for result in results]
        )
        runner: Runner = self._session._make_callable_from_options(options)
        return runner


def _function(graph: Any, inputs: Sequence[Any], fetches: Sequence[str]) -> Any:
    """The part of `graph` between `inputs` and `fetches`, as a function.

    Variables and tables are reached by the names that they share with the graph outside. None
    where one has no such name. (A variable of TensorFlow 1 is shared under its node's name.)
    """
    part = tf.compat.v1.graph_util.extract_sub_graph(
        graph.as_graph_def(), [name.partition(":")[0] for name in fetches]
    )
    for node in part.node:
        if "shared_name" in node.attr and not node.attr["shared_name"].s:
            if node.op != "VariableV2":
                return None
            node.attr["shared_name"].s = node.name.encode()

    def body(*rows: Any) -> Any:
        fed = {tensor.name: row for tensor, row in zip(inputs, rows, strict=True)}
        return tf.graph_util.import_graph_def(part, fed, list(fetches), name="")

    specs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in inputs]
    function = tf.function(body, input_signature=specs, autograph=False).get_concrete_function()
    return None if function.captured_inputs else function


def _key(inputs: Any, outputs: Any) -> Key:
    return (
        tuple(sorted({info.name for info in inputs})),
        tuple(sorted({info.name for info in outputs})),
    )


def _invalid(message: str) -> tf.errors.OpError:
    return tf.errors.InvalidArgumentError(None, None, message)


def _first_line(error: tf.errors.OpError) -> str:
    """The message without the name of the node, which is none of a client's business."""
    text: str = error.message.partition("\n")[0]
    return text.strip()
