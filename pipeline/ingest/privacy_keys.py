"""Keys of hashed personal data: read from the environment, and recognised again without telling."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Iterable

from pipeline.core.errors import PipelineError
from pipeline.ingest.config import IngestStageConfig, PiiHash

KEY_BYTES = 16
"""A shorter key could be guessed, and with it every value that is not long itself."""
_WORD = b"train-to-serve: which key was it?"
_SHOWN_DIGITS = 16


def secret_key(variable: str) -> bytes:
    """The key that the environment variable holds.

    Raises:
        PipelineError: It is not set, or its key is too short.
    """
    key = os.environ.get(variable, "").encode()
    if len(key) < KEY_BYTES:
        state = "is not set" if not key else f"holds a key of {len(key)} bytes"
        raise PipelineError(
            f"the environment variable {variable} {state}",
            expected=f"a secret of at least {KEY_BYTES} bytes, the same in every run",
            remedy=f"export {variable} from your secret store, e.g. made once by "
            "`openssl rand -hex 32`",
        )
    return key


def fingerprint(key: bytes) -> str:
    """64 bits of the HMAC-SHA256 of a fixed word: tells keys apart, and says nothing of them."""
    return hmac.new(key, _WORD, hashlib.sha256).hexdigest()[:_SHOWN_DIGITS]


def fingerprints(config: IngestStageConfig) -> dict[str, str]:
    """The fingerprint of each key in use, by its variable.

    Raises:
        PipelineError: A key is not set, or too short.
    """
    return {name: fingerprint(secret_key(name)) for name in _variables(config)}


def changed_keys(config: IngestStageConfig, recorded: dict[str, str]) -> list[str]:
    """Variables whose key is not the one that `recorded` knows.

    A key that is not set in this environment has not changed: who works with what is cached need
    not have it.
    """
    named = (name for name in _variables(config) if name in recorded)
    held = {name: os.environ.get(name, "").encode() for name in named}
    return [name for name, key in held.items() if key and fingerprint(key) != recorded[name]]


def _variables(config: IngestStageConfig) -> Iterable[str]:
    sources = [config.source, *(join.source for join in config.joins.values())]
    rules = [how for source in sources for how in source.pii.values()]
    return dict.fromkeys(how.key_env for how in rules if isinstance(how, PiiHash))
