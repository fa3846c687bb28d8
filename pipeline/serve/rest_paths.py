"""The addresses of the REST API, as http_rest_api_util.cc reads them."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from tensorflow_serving.apis import model_pb2

from pipeline.serve.rest_body import Scope
from pipeline.serve.status import invalid

_MODEL = r"(?i)/v1/models/(?P<name>[^/:]+)"
_CHOICE = r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_PATTERNS = {
    "POST": re.compile(rf"{_MODEL}{_CHOICE}:(?P<method>classify|regress|predict)", re.ASCII),
    "GET": re.compile(
        rf"(?i)/v1/models(?:/(?P<name>[^/:]+))?{_CHOICE}(?:/(?P<metadata>metadata))?", re.ASCII
    ),
}
_API = re.compile(r"(?i)/v1/")
_PARTS = r"(?:[\w.~!$&'()*+,;=:@/{}-]++|%[0-9a-fA-F]{{2}})*+"
_PATH, _REST = _PARTS.format(""), _PARTS.format("?")
_URI = re.compile(rf"{_PATH}(?:\?{_REST})?(?:#{_REST})?", re.ASCII)
_QUESTION = re.compile(r"[?#]")
_LARGEST_VERSION = 2**63 - 1


def path_of(scope: Scope) -> str:
    """The path as it was sent, percent signs and question included, as the real server takes it."""
    path: bytes = scope["raw_path"]
    query: bytes = scope["query_string"]
    return (path + b"?" + query if query else path).decode("latin-1")


def is_uri(path: str) -> bool:
    """Whether libevent would take it for a path, with question and fragment."""
    return _URI.fullmatch(path) is not None


def bare(path: str) -> str:
    """The path without question and fragment."""
    return _QUESTION.split(path, maxsplit=1)[0]


def is_api(path: str) -> bool:
    """Whether the API answers, if only with an error."""
    return _API.match(path) is not None


def parse(method: str, path: str) -> dict[str, str]:
    """The parts of an address: name, version, label, method, metadata; as sent, '' for none.

    Empty where the API has no such address.
    """
    pattern = _PATTERNS.get(method)
    found = pattern.fullmatch(path) if pattern else None
    return found.groupdict(default="") if found else {}


def decoded(text: str) -> str:
    """Without percent signs."""
    return unquote_to_bytes(text.encode("latin-1")).decode("utf-8", "replace")


def model_spec(parts: dict[str, str]) -> model_pb2.ModelSpec:
    """Who is asked.

    Raises:
        ServingError: INVALID_ARGUMENT: the version is beyond 64 bits.
    """
    spec = model_pb2.ModelSpec(name=decoded(parts["name"]))
    if parts["version"]:
        if int(parts["version"]) > _LARGEST_VERSION:
            raise invalid(f"Failed to convert version: {parts['version']} to numeric.")
        spec.version.value = int(parts["version"])
    elif parts["label"]:
        spec.version_label = decoded(parts["label"])
    return spec
