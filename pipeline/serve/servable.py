"""One loaded version of a model, and who uses it."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from pipeline.core.errors import PipelineError
from pipeline.serve.batches import Batches
from pipeline.serve.dtypes import Array, kind_of
from pipeline.serve.limits import LimitedSession
from pipeline.serve.loading import Loading
from pipeline.serve.runs import Done, Results, Run
from pipeline.serve.status import Code, ServingError

DEFAULT_SIGNATURE = "serving_default"
PREDICT = "Predict"

Observe = Callable[[str, str, float], None]
"""Takes a model's name, the method that was asked for, and how many seconds the graph ran."""
Record = Callable[[str, int, Mapping[str, Array] | Sequence[bytes]], None]
"""Takes a model's name, its version and what a request holds: inputs, or tf.Examples."""


@dataclass(frozen=True)
class Signature:
    """A signature, its maps as plain dicts: reading protobuf maps costs more than a small run.

    Attributes:
        proto: As saved.
        inputs: Name of the graph's tensor by input alias, sorted by alias.
        dtypes: Number in types.proto by input alias, sorted likewise.
        outputs: Name of the graph's tensor by output alias, sorted by alias.
        kinds: NumPy's dtype by the name of the graph's tensor; strings are objects.
    """

    proto: meta_graph_pb2.SignatureDef
    inputs: dict[str, str]
    dtypes: dict[str, int]
    outputs: dict[str, str]
    kinds: dict[str, np.dtype[Any] | None]


class Servable:
    """A version of a model that can answer.

    Args:
        name: Model name.
        version: Version number.
        folder: Folder of the SavedModel.
        loading: What it is loaded with.
        check_methods: Whether a signature must be of the method that is asked for.
        observe: Told about every run.

    Raises:
        ServingError: The folder holds no SavedModel that loads.
    """

    def __init__(
        self,
        name: str,
        version: int,
        folder: Path,
        loading: Loading | None = None,
        *,
        check_methods: bool = False,
        observe: Observe | None = None,
    ) -> None:
        self.name = name
        self.version = version
        self.check_methods = check_methods
        self._observe = observe
        self.record: Record | None = None
        """Told what is asked; set after the warm-up, which nobody has asked."""
        self._users = 0
        self._closing = False
        self._idle = threading.Condition()
        loading = loading or Loading()
        try:
            batching = loading.batching_of(folder)
            self._session = loading.session(folder)
        except Exception as error:
            raise _load_error(error, folder) from error
        self._limited = LimitedSession(self._session)
        self._batches = Batches(self._limited, batching) if batching else None
        self.signatures = {
            name: _signature(proto) for name, proto in self._session.signatures.items()
        }
        self._prepare()

    def _prepare(self) -> None:
        """Before the first request, so that none has to wait when this takes over."""
        for signature in self.signatures.values():
            # What is wrong with a signature is told to who asks for it.
            with contextlib.suppress(tf.errors.OpError, ValueError):
                if signature.inputs:
                    feeds, fetches = signature.inputs.values(), signature.outputs.values()
                    self._session.prepare(tuple(feeds), tuple(fetches))

    async def run(
        self, feeds: Mapping[str, Array], fetches: Sequence[str], method: str = PREDICT
    ) -> Results:
        """Runs the graph once; see `SavedModelSession.run`.

        Raises:
            ServingError: An op refused; with its code and text.
        """
        start = time.perf_counter()
        try:
            batched = self._batches.run(feeds, tuple(fetches)) if self._batches else None
            results = await (batched or self._alone(feeds, fetches))
        except tf.errors.OpError as error:
            raise ServingError(Code(error.error_code), error.message) from error
        except (TypeError, ValueError) as error:
            raise ServingError(Code.INVALID_ARGUMENT, str(error)) from error
        if self._observe:
            self._observe(self.name, method, time.perf_counter() - start)
        return results

    def asked(self, content: Mapping[str, Array] | Sequence[bytes]) -> None:
        """Tells the request log, where there is one, of a request that fits its signature."""
        if self.record:
            self.record(self.name, self.version, content)

    def _alone(self, feeds: Mapping[str, Array], fetches: Sequence[str]) -> Run:
        def run(done: Done, deadline: float) -> None:
            try:
                results = self._limited.run(feeds, fetches, deadline)
            except Exception as error:  # noqa: BLE001  whatever it is, who waits hears of it
                done(None, error)
            else:
                done(results, None)

        return Run(run, holds_thread=True, takes_long=self._limited.takes_long(fetches))

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
        if self._batches:
            self._batches.close()
        self._session.close()


def _signature(proto: meta_graph_pb2.SignatureDef) -> Signature:
    return Signature(
        proto=proto,
        inputs={alias: proto.inputs[alias].name for alias in sorted(proto.inputs)},
        dtypes={alias: proto.inputs[alias].dtype for alias in sorted(proto.inputs)},
        outputs={alias: proto.outputs[alias].name for alias in sorted(proto.outputs)},
        kinds={info.name: kind_of(info.dtype) for info in proto.inputs.values()},
    )


def _words_of_loader(text: str, folder: Path) -> tuple[Code, str]:
    """Code and text of TensorFlow's C++ loader for what its Python loader says."""
    if text.startswith("SavedModel file does not exist"):
        return Code.NOT_FOUND, (
            f"Could not find SavedModel .pb or .pbtxt at supplied export directory path: {folder}. "
            "Check that the directory exists and that you have the right permissions for "
            "accessing it."
        )
    if text.startswith("Cannot parse file"):
        return Code.DATA_LOSS, f"Can't parse {folder / 'saved_model.pb'} as binary proto"
    tags = re.match(r"MetaGraphDef associated with tags (.*?) could not be found", text)
    if tags:
        wanted = " ".join(re.findall(r"'(.*?)'", tags[1]))
        return Code.NOT_FOUND, (
            f"Could not find meta graph def matching supplied tags: {{ {wanted} }}. To inspect "
            "available tag-sets in the SavedModel, please use the SavedModel CLI: "
            "`saved_model_cli`"
        )
    return Code.NOT_FOUND, text


def _load_error(error: Exception, folder: Path) -> ServingError:
    """Why loading failed, without the path of the folder, which is none of a client's business."""
    text = getattr(error, "message", None) or str(error) or type(error).__name__
    if isinstance(error, tf.errors.OpError):
        code = Code(error.error_code)
    elif isinstance(error, PipelineError):
        code = Code.INVALID_ARGUMENT
    elif isinstance(error, OSError):
        code, text = _words_of_loader(text, folder)
    else:
        code = Code.INTERNAL
    return ServingError(code, " ".join(text.replace(str(folder.parent), "...").split()))
