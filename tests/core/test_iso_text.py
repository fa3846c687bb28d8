"""Moments as text: what NumPy writes, one by one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.iso_text import iso_text

# From year -9999 to 29999, and seconds of the years that most tables hold.
_FAR = st.integers(-377_705_116_800, 884_541_340_799)
_NEAR = st.integers(-2_208_988_800, 4_102_444_799)


@pytest.mark.parametrize("zone", ["", "Z"])
@given(seconds=st.lists(st.none() | _NEAR, max_size=30) | st.lists(st.none() | _FAR, max_size=5))
def test_each_moment_is_written_as_numpy_writes_it(zone: str, seconds: list[int | None]):
    moments = np.array(["NaT" if one is None else one for one in seconds], "datetime64[s]")
    series = pd.Series(moments)
    written = iso_text(series.dt.tz_localize("UTC") if zone else series)
    assert written.dtype == "str"
    expected = ["" if np.isnat(one) else f"{np.datetime_as_string(one)}{zone}" for one in moments]
    assert written.tolist() == expected


def test_another_zone_and_parts_of_a_second():
    moments = pd.to_datetime(["2024-07-01 23:30:00.999", None]).tz_localize("America/New_York")
    assert iso_text(pd.Series(moments)).tolist() == ["2024-07-02T03:30:00Z", ""]
