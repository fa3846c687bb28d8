"""JSON in and out without a server: laws that hold for any value."""

from __future__ import annotations

import json
import math
import struct

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as npst
from tensorflow.core.framework import types_pb2

from pipeline.serve.json_answers import columnar_answer, row_answer
from pipeline.serve.json_reader import Reader
from pipeline.serve.json_requests import predict_request
from pipeline.serve.json_shown import shown
from pipeline.serve.json_tensors import tensors_of_inputs, tensors_of_instances
from pipeline.serve.json_text import parse
from pipeline.serve.status import Code, ServingError

DTYPES = {
    "float32": types_pb2.DT_FLOAT,
    "float64": types_pb2.DT_DOUBLE,
    "int32": types_pb2.DT_INT32,
    "int64": types_pb2.DT_INT64,
    "uint64": types_pb2.DT_UINT64,
    "bool": types_pb2.DT_BOOL,
}

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
arrays = st.sampled_from(sorted(DTYPES)).flatmap(
    lambda dtype: npst.arrays(dtype, npst.array_shapes(max_dims=3, max_side=3))
)


def same(left: object, right: object) -> bool:
    """Equal, NaN included."""
    return repr(left) == repr(right)


def info(array: np.ndarray) -> dict[str, int]:
    return {"x": DTYPES[array.dtype.name]}


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(), values, max_size=4))
def test_the_patient_reader_reads_what_python_reads(value: dict[str, object]) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=2)):
        assert same(Reader(text).value(), json.loads(text))
        try:
            body = text.encode()
        except UnicodeEncodeError:
            continue
        assert same(parse(body), json.loads(text))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=40) | st.text(alphabet='{}[]",:0123.eE-+ntfNI\\u', max_size=20))
def test_garbage_is_refused_and_never_crashes(garbage: bytes | str) -> None:
    body = garbage if isinstance(garbage, bytes) else garbage.encode()
    try:
        parsed = parse(body)
    except ServingError as error:
        refused = error
    else:
        assert isinstance(parsed, dict)
        return
    assert refused.code is Code.INVALID_ARGUMENT
    assert refused.message.startswith(("JSON Parse error: ", "JSON Value: "))


@settings(max_examples=60, deadline=None)
@given(arrays)
def test_arrays_come_back_from_columns_and_rows(array: np.ndarray) -> None:
    found = parse(columnar_answer({"x": array}))["outputs"]
    back = tensors_of_inputs(found, info(array))["x"]
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)
    rows = parse(row_answer({"x": array}))["predictions"]
    np.testing.assert_array_equal(tensors_of_instances(rows, info(array))["x"], array)
    objects = [{"x": row} for row in rows]
    np.testing.assert_array_equal(tensors_of_instances(objects, info(array))["x"], array)


@settings(max_examples=60, deadline=None)
@given(arrays)
def test_the_slow_road_reads_what_the_fast_one_reads(array: np.ndarray) -> None:
    inputs = {"x": info(array)["x"], "word": int(types_pb2.DT_STRING)}
    rows = [{"x": row, "word": "w"} for row in array.tolist()]
    fast = tensors_of_instances(rows, inputs)
    # One value in base64 sends the whole request down the slow road.
    rows[0]["word"] = {"b64": "dw=="}
    slow = tensors_of_instances(rows, inputs)
    for name in inputs:
        assert slow[name].dtype == fast[name].dtype
        np.testing.assert_array_equal(slow[name], fast[name])


@settings(max_examples=60, deadline=None)
@given(st.floats(width=32))
def test_floats_are_written_as_the_real_server_writes_them(number: float) -> None:
    text = columnar_answer({"x": np.float32(number)}).decode()
    written = text.split(": ")[1].rstrip("\n}")
    if math.isnan(number):
        assert written == "NaN"
    elif math.isinf(number):
        assert written == ("Infinity" if number > 0 else "-Infinity")
    else:
        six = f"{number:g}"
        exact = (
            struct.unpack("f", struct.pack("f", float(six)))[0] == number
            if (abs(float(six)) <= 3.4028234e38)
            else False
        )
        wanted = six if exact else f"{number:.9g}"
        assert written == (wanted if set(wanted) & set(".e") else f"{wanted}.0")


@settings(max_examples=60, deadline=None)
@given(values)
def test_shown_values_are_short(value: object) -> None:
    assert len(shown(value)) < 256 + 300


def test_shown_values_stand_as_in_the_real_server() -> None:
    assert shown({"a": [1, 2.5, None], "b": {}}) == '{\n    "a": [1, 2.5, null],\n    "b": {}\n}'


def test_rows_need_one_number_of_rows() -> None:
    with pytest.raises(ServingError, match="Tensor name: b has inconsistent batch size: 1"):
        row_answer({"a": np.zeros(2), "b": np.zeros(1)})
    with pytest.raises(ServingError, match="Tensor name: a has no shape information"):
        row_answer({"a": np.zeros(())})
    with pytest.raises(ServingError, match="Failed to write JSON value"):
        row_answer({"a": np.zeros(1, np.complex64)})


TWO = {"number": int(types_pb2.DT_INT32), "word": int(types_pb2.DT_STRING)}
ONE = {"number": int(types_pb2.DT_INT32)}
WORD = {"word": int(types_pb2.DT_STRING)}


@pytest.mark.parametrize(
    ("body", "inputs", "words"),
    [
        ('{"instances": [[1, 2], [3, 4, 5]]}', ONE, "Expecting tensor size: 2 but got: 3"),
        ('{"instances": [[1, 2], [[3, 4]]]}', ONE, r"Expecting shape \[2\] but got: \[1,2\]"),
        ('{"instances": [[1, 2], ["a", "b"]]}', ONE, "is not of expected type: int32"),
        ('{"instances": [[], [1]]}', ONE, "Expecting tensor size: 0 but got: 1"),
        ('{"instances": [[1, [2]]]}', ONE, "Encountered list at unexpected level: 1"),
        ('{"instances": [[[1], 2]]}', ONE, "found at incorrect level: 2 in the JSON DOM"),
        ('{"instances": [{"b64": "eA=="}]}', ONE, "is not of expected type: int32"),
        (
            '{"instances": [{"number": [1], "word": "a"}, {"number": [[1]], "word": "b"}]}',
            TWO,
            r"element: 1 key: number .* Expecting shape \[1\] but got: \[1,1\]",
        ),
        (
            '{"instances": [{"number": 1, "word": "a"}, [1, 20]]}',
            TWO,
            "Expecting object but got list at item 1 of input list",
        ),
        ('{"instances": ["a", {"word": "b"}]}', WORD, "Expecting value/list but got object at"),
        ('{"instances": [{"b64": "?"}]}', WORD, "Unable to base64 decode"),
        ('{"instances": [[{"b64": 1}]]}', WORD, "not formatted correctly for base64 data"),
        ('{"inputs": [1]}', TWO, "inputs is a plain value/list, but expecting an object"),
    ],
)
def test_the_real_servers_words_for_tensors_that_do_not_fit(
    body: str, inputs: dict[str, int], words: str
) -> None:
    with pytest.raises(ServingError, match=words) as caught:
        predict_request(parse(body.encode()), inputs)
    assert caught.value.code is Code.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("body", "inputs", "shapes"),
    [
        ('{"instances": [{"b64": "eA=="}, "y"]}', WORD, {"word": (2,)}),
        ('{"instances": [[{"b64": "eA=="}], ["y"]]}', WORD, {"word": (2, 1)}),
        ('{"instances": [{"word": [["x"], ["y"]]}]}', WORD, {"word": (1, 2, 1)}),
        ('{"inputs": {"number": [[[1, 2]]], "word": "x"}}', TWO, {"number": (1, 1, 2), "word": ()}),
        ('{"inputs": [[[1, 2], [3, 4]]]}', ONE, {"number": (1, 2, 2)}),
        ('{"inputs": {"b64": "eA=="}}', WORD, {"word": ()}),
        ('{"instances": [[], []]}', ONE, {"number": (2, 0)}),
    ],
)
def test_the_shapes_that_the_real_server_reads(
    body: str, inputs: dict[str, int], shapes: dict[str, tuple[int, ...]]
) -> None:
    arrays = predict_request(parse(body.encode()), inputs).arrays
    assert {name: array.shape for name, array in arrays.items()} == shapes


def test_answers_need_an_output() -> None:
    for answer in (row_answer, columnar_answer):
        with pytest.raises(ServingError, match="Cannot convert empty tensor map to JSON"):
            answer({})


def test_deep_nesting_beside_the_question_is_no_matter() -> None:
    body = '{"instances": [1.5], "more": ' + "[" * 50_000 + "]" * 50_000 + "}"
    asked = predict_request(parse(body.encode()), info(np.zeros(1, np.float32)))
    assert asked.arrays["x"].tolist() == [1.5]


def test_whole_numbers_of_any_size_are_floats() -> None:
    document = parse(b'{"inputs": [1' + b"0" * 300 + b", 18446744073709551616]}")
    array = tensors_of_inputs(document["inputs"], {"x": types_pb2.DT_DOUBLE})["x"]
    np.testing.assert_array_equal(array, [1e300, 2.0**64])


@pytest.mark.parametrize("number", ["1e309", "-1E+400", "1" + "0" * 309, "0.1e999999999999"])
def test_numbers_beyond_a_double_are_refused(number: str) -> None:
    with pytest.raises(ServingError, match=r"Number too big to be stored in double\. at offset: 9"):
        parse(f'{{"aaa": [{number}]}}'.encode())


def test_odd_spellings_of_what_json_does_not_know() -> None:
    values = parse(b'{"x": [NaN, -NaN, Inf, -Inf, Infinity, -Infinity, 1e-999, 1e308]}')["x"]
    expected = [np.nan, np.nan, np.inf, -np.inf, np.inf, -np.inf, 0.0, 1e308]
    np.testing.assert_array_equal(values, expected)


@pytest.mark.parametrize("rest", ["", " NaN", '{"b": [NaN]}'])
def test_of_a_repeated_key_the_first_counts(rest: str) -> None:
    text = f'{{"inputs": [1], "inputs": [2], "signature_name": "a"}}{rest}'
    assert parse(text.encode()) == {"inputs": [1], "signature_name": "a"}
