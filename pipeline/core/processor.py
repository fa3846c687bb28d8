"""What NumPy should know of the processor before it is imported."""

from __future__ import annotations

import os
from itertools import takewhile
from pathlib import Path

_DISABLED = "NPY_DISABLE_CPU_FEATURES"
_SORT_FEATURES = "X86_V4 AVX512_ICL"
"""What NumPy 2.4 and later call the parts of AVX-512 that it sorts with."""
_CPUINFO = Path("/proc/cpuinfo")


def sort_fast() -> None:
    """Keeps NumPy from sorting with AVX-512 on AMD Zen 4; for this process and those it starts.

    There an instruction that the sort stands on (`vpcompress` to memory) takes over a hundred
    cycles, so that sorting with AVX2 is five times as fast:
    https://github.com/numpy/x86-simd-sort/issues/6. Call it before NumPy is imported. Whoever sets
    `NPY_DISABLE_CPU_FEATURES` has the last word.
    """
    if _DISABLED not in os.environ and _is_zen4():
        os.environ[_DISABLED] = _SORT_FEATURES


def _is_zen4() -> bool:
    """Family 25 of AMD is Zen 3, which has no AVX-512, and Zen 4 (cpuid, as in proc(5))."""
    try:
        with _CPUINFO.open(encoding="utf-8") as file:
            first_core = list(takewhile(str.strip, file))
    except OSError:
        return False
    fields = (line.partition(":") for line in first_core)
    about = {name.strip(): value.split() for name, _, value in fields}
    family = about.get("vendor_id"), about.get("cpu family")
    return family == (["AuthenticAMD"], ["25"]) and "avx512f" in about.get("flags", [])
