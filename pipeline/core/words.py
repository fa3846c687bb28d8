"""The hash of words that both roads share."""

from __future__ import annotations

import farmhash


def hashed(word: bytes, buckets: int) -> int:
    """The bucket of `word` in UTF-8, as `tf.strings.to_hash_bucket_fast` gives it."""
    if buckets == 1:
        return 0
    fingerprint: int = farmhash.Fingerprint64(word)
    return fingerprint % buckets
