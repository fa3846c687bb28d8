"""Asking a TensorFlow Serving endpoint over REST."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import numpy as np
import orjson
import requests

from pipeline.core.errors import PipelineError
from pipeline.serve.exchange import Array, SignatureFacts, TensorFacts, numpy_type
from pipeline.serve.retry import Passing, Patience

NOT_SERVED = "correct the model's name or version, or the server's address"
"""What to do where the server has no such model."""
_PASSING = {429, 502, 503}
"""Too many requests, bad gateway, unavailable: the request itself was not judged."""


class RestEndpoint:
    """One model behind `http://` or `https://`.

    Args:
        url: Scheme, host and port; a path before /v1 is kept.
        model: Model name.
        version: Version number or None.
        label: Version label or None.
        patience: Time limits and retries.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        patience: Patience | None = None,
    ) -> None:
        choice = f"/versions/{version}" if version is not None else ""
        choice = f"/labels/{quote(label, safe='')}" if label is not None else choice
        self.url = f"{url.rstrip('/')}/v1/models/{quote(model, safe='')}{choice}"
        self._patience = patience or Patience()
        self._session = requests.Session()

    def signature(self, name: str) -> SignatureFacts:
        """What the server says of a signature.

        Raises:
            PipelineError: No server answers, or it knows no such model or signature.
        """
        answer = self._answer("GET", f"{self.url}/metadata", None)
        signatures = answer["metadata"]["signature_def"]["signature_def"]
        if name not in signatures:
            known = ", ".join(sorted(key for key in signatures if not key.startswith("__")))
            raise PipelineError(f"the model has no signature '{name}'", f"one of {known}")
        signature = signatures[name]
        return SignatureFacts(_facts(signature["inputs"]), _facts(signature["outputs"]))

    def predict(
        self, name: str, arrays: Mapping[str, Array], outputs: Mapping[str, TensorFacts]
    ) -> dict[str, Array]:
        """Sends one request.

        Args:
            name: Signature name.
            arrays: By input name; strings as `str`.
            outputs: The signature's outputs.

        Returns:
            Arrays by output name; strings as `str`.

        Raises:
            PipelineError: No server answers, or it refuses the request; in its own words.
        """
        inputs = b",".join(orjson.dumps(key) + b":" + _text(a) for key, a in arrays.items())
        body = b'{"signature_name":' + orjson.dumps(name) + b',"inputs":{' + inputs + b"}}"
        found = self._answer("POST", f"{self.url}:predict", body)["outputs"]
        if len(outputs) == 1:  # a single output comes without its name
            found = {next(iter(outputs)): found}
        return {key: np.array(v, numpy_type(outputs[key].dtype)) for key, v in found.items()}

    def close(self) -> None:
        """Closes the connection."""
        self._session.close()

    def _answer(self, method: str, url: str, body: bytes | None) -> Any:
        try:
            return self._patience.call(lambda: self._ask(method, url, body))
        except Passing as error:
            raise PipelineError(
                f"no answer from {url}: {error}",
                expected="a TensorFlow Serving endpoint",
                remedy="start one with `pipeline serve`, or correct --url",
            ) from error

    def _ask(self, method: str, url: str, body: bytes | None) -> Any:
        try:
            response = self._session.request(
                method, url, data=body, timeout=self._patience.timeout_seconds
            )
        except (requests.ConnectionError, requests.Timeout) as error:
            raise Passing(_reason(error)) from error
        except requests.RequestException as error:
            raise PipelineError(
                f"{url} cannot be asked: {error}", remedy="correct --url"
            ) from error
        if response.status_code in _PASSING:
            raise Passing(f"{response.status_code} {_message(response)}")
        if not response.ok:
            absent = response.status_code == requests.codes.not_found
            raise PipelineError(
                f"the server refused: {_message(response)} (HTTP {response.status_code})",
                remedy=NOT_SERVED
                if absent
                else "compare the table with what `GET /v1/models/MODEL/metadata` says",
            )
        return _loads(response.content, url)


def _facts(tensors: Mapping[str, Any]) -> dict[str, TensorFacts]:
    found = {}
    for name, info in tensors.items():
        shape = info["tensor_shape"]
        dims = tuple(int(dim["size"]) for dim in shape.get("dim", []))
        found[name] = TensorFacts(info["dtype"], None if shape.get("unknown_rank") else dims)
    return found


def _text(array: Array) -> bytes:
    """An array as JSON; a missing number is NaN, which the server takes and JSON does not know."""
    if array.dtype == object:
        return orjson.dumps(array.tolist())
    text = orjson.dumps(np.ascontiguousarray(array), option=orjson.OPT_SERIALIZE_NUMPY)
    return text.replace(b"null", b"NaN")


def _loads(content: bytes, url: str) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(content)  # scores may be NaN, which strict JSON does not know
    except ValueError as error:
        raise PipelineError(
            f"{url} answers something else than JSON",
            expected="a TensorFlow Serving endpoint",
            remedy="correct --url",
        ) from error


def _message(response: requests.Response) -> str:
    try:
        return str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        return response.reason


def _reason(error: Exception) -> str:
    if isinstance(error, requests.Timeout):
        return "it took too long"
    return "the connection failed"
