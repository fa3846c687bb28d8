"""An exported version asked in this process. Importing this imports TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf

from pipeline.core.errors import PipelineError
from pipeline.core.session import SavedModelSession
from pipeline.serve.exchange import Array
from pipeline.serve.servable import DEFAULT_SIGNATURE
from pipeline.serve.signature_facts import decoded, signature_facts


class LocalModel:
    """A SavedModel and its default signature.

    Args:
        folder: A version folder.

    Raises:
        PipelineError: It holds no SavedModel that loads, or one without the default signature.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self._session = SavedModelSession(folder)
            self._signature = self._session.signatures[DEFAULT_SIGNATURE]
        except (OSError, KeyError, tf.errors.OpError) as error:
            raise PipelineError(
                f"{folder} cannot be loaded: {error}",
                expected="a SavedModel with the signature serving_default",
                remedy="export it again with `pipeline run`",
            ) from error
        self.signature = signature_facts(self._signature)

    def predict(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Answers one batch; strings come as `str`.

        Raises:
            PipelineError: An op refused the rows.
        """
        names = sorted(self._signature.outputs)
        feeds = {self._signature.inputs[name].name: array for name, array in arrays.items()}
        try:
            results = self._session.run(
                feeds, [self._signature.outputs[name].name for name in names]
            )
        except tf.errors.OpError as error:
            raise PipelineError(f"the model refused: {error.message}") from error
        return {name: decoded(array) for name, array in zip(names, results, strict=True)}

    def close(self) -> None:
        """Frees the model."""
        self._session.close()
