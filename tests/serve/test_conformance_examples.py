"""Classify, Regress and MultiInference, over both protocols, as TensorFlow Serving's tests."""

from __future__ import annotations

import base64
import json

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    input_pb2,
    regression_pb2,
)

from tests.serve.conformance import Conformance, refused

HALF = "half_plus_two"
INVALID = "INVALID_ARGUMENT"
X2 = '{"examples": [{"x": 2.0}], "signature_name": '


def example(**numbers: float) -> tf.train.Example:
    made = tf.train.Example()
    for name, value in numbers.items():
        made.features.feature[name].float_list.value.append(value)
    return made


def of(*examples: tf.train.Example, context: tf.train.Example | None = None) -> input_pb2.Input:
    if context is None:
        return input_pb2.Input(example_list=input_pb2.ExampleList(examples=examples))
    held = input_pb2.ExampleListWithContext(examples=examples, context=context)
    return input_pb2.Input(example_list_with_context=held)


def classify(
    signature: str, given: input_pb2.Input | None = None, model: str = "kinds"
) -> classification_pb2.ClassificationRequest:
    made = classification_pb2.ClassificationRequest(input=given or of(example(), example()))
    made.model_spec.name, made.model_spec.signature_name = model, signature
    return made


def regress(
    signature: str, given: input_pb2.Input | None = None, model: str = "kinds"
) -> regression_pb2.RegressionRequest:
    made = regression_pb2.RegressionRequest(input=given or of(example(), example()))
    made.model_spec.name, made.model_spec.signature_name = model, signature
    return made


CLASSES = [
    ("both", [[("no", 0.25), ("yes", 0.75)]] * 2),
    ("only_classes", [[("no", 0.0), ("yes", 0.0)]] * 2),
    ("only_scores", [[("", 0.25), ("", 0.75)]] * 2),
]


@pytest.mark.parametrize(("signature", "rows"), CLASSES)
def test_classes(
    conformance: Conformance, signature: str, rows: list[list[tuple[str, float]]]
) -> None:
    answer = conformance.predictions.Classify(classify(signature))
    found = answer.result.classifications
    assert [[(one.label, one.score) for one in row.classes] for row in found] == rows
    spec = answer.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("kinds", 1, signature)
    body = f'{{"signature_name": "{signature}", "examples": [{{}}, {{}}]}}'
    status, text = conformance.post(body, verb="classify")
    assert (status, json.loads(text)["results"]) == (
        200,
        [[list(one) for one in row] for row in rows],
    )


@pytest.mark.parametrize(("signature", "value"), [("values", 0.25), ("column", 0.25)])
def test_values(conformance: Conformance, signature: str, value: float) -> None:
    answer = conformance.predictions.Regress(regress(signature))
    assert [one.value for one in answer.result.regressions] == [value] * 2
    assert answer.model_spec.signature_name == signature
    body = f'{{"signature_name": "{signature}", "examples": [{{}}, {{}}]}}'
    assert conformance.post(body, verb="regress") == (200, '{"results": [0.25, 0.25]}')


def test_the_default_signature_is_named_in_the_answer(conformance: Conformance) -> None:
    words = "No signature was found with the name: serving_default"
    assert refused(conformance.predictions.Classify, classify("")) == (INVALID, words)
    assert refused(conformance.predictions.Regress, regress("")) == (INVALID, words)


NO_INPUTS = "Expected one input Tensor."
UNFIT_CLASSES = [
    ("nothing", "No signature was found with the name: nothing"),
    ("two_inputs", NO_INPUTS),
    ("no_input", NO_INPUTS),
    ("three", "Expected one or two output Tensors, found 3"),
    ("float32", "No classification inputs found in SignatureDef: "),
    (
        "unnamed",
        (
            "Expected classification signature outputs to contain at least one of "
            '"classes" or "scores". Signature was: '
        ),
    ),
    ("widths", "Tensors class and score should match in dim_size(1). Got 2 vs. 3"),
    ("flat_scores", "Expected Tensor shape: [batch_size num_classes] but got [2]"),
    ("double_scores", "Expected scores Tensor of DT_FLOAT. Got: DT_DOUBLE"),
    ("number_classes", "Expected classes Tensor of DT_STRING. Got: DT_FLOAT"),
    ("few_scores", "Expected scores output batch size of 2. Got: 1"),
]


@pytest.mark.parametrize(("signature", "words"), UNFIT_CLASSES)
def test_signatures_unfit_for_classes(conformance: Conformance, signature: str, words: str) -> None:
    code, told = refused(conformance.predictions.Classify, classify(signature))
    assert code == INVALID
    assert told.startswith(words)
    assert told == words or words.endswith(": ")
    body = f'{{"signature_name": "{signature}", "examples": [{{}}, {{}}]}}'
    status, text = conformance.post(body, verb="classify")
    assert status == 400
    assert json.loads(text)["error"].startswith(words)


UNFIT_VALUES = [
    ("nothing", "No signature was found with the name: nothing"),
    ("two_inputs", NO_INPUTS),
    ("both", "Expected one output Tensor."),
    ("float32", "No regression inputs found in SignatureDef: "),
    ("only_scores", "No regression outputs found in SignatureDef: "),
    (
        "wide_values",
        ("Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got [2,2]"),
    ),
    ("double_values", "Expected output Tensor of DT_FLOAT.  Got: DT_DOUBLE"),
    ("few_values", "Input batch size did not match output batch size: 2 vs. 1"),
]


@pytest.mark.parametrize(("signature", "words"), UNFIT_VALUES)
def test_signatures_unfit_for_values(conformance: Conformance, signature: str, words: str) -> None:
    code, told = refused(conformance.predictions.Regress, regress(signature))
    assert code == INVALID
    assert told.startswith(words)
    assert told == words or words.endswith(": ")
    body = f'{{"signature_name": "{signature}", "examples": [{{}}, {{}}]}}'
    status, text = conformance.post(body, verb="regress")
    assert status == 400
    assert json.loads(text)["error"].startswith(words)


@pytest.mark.parametrize(
    "given", [input_pb2.Input(), of(), of(context=example()), of(context=example(x=1))]
)
def test_no_examples_at_all(conformance: Conformance, given: input_pb2.Input) -> None:
    calls = (
        (conformance.predictions.Classify, classify("both", given)),
        (conformance.predictions.Regress, regress("values", given)),
        (conformance.predictions.MultiInference, tasks(given, both="classify")),
    )
    for method, made in calls:
        made.input.CopyFrom(given)
        assert refused(method, made) == (INVALID, "Input is empty.")


@pytest.mark.parametrize(
    ("given", "answers"),
    [
        (of(example(x=80), example(x=20)), [42.0, 12.0]),
        (of(example(), example(x=20), context=example(x=80)), [42.0, 12.0]),
        (of(example(x=20), context=example()), [12.0]),
        (of(example(x=2, x2=7)), [3.0]),
    ],
)
def test_a_context_stands_before_each_example(
    conformance: Conformance, given: input_pb2.Input, answers: list[float]
) -> None:
    answer = conformance.predictions.Regress(regress("regress_x_to_y", given, HALF))
    assert [one.value for one in answer.result.regressions] == answers
    answer = conformance.predictions.Classify(classify("classify_x_to_y", given, HALF))
    rows = [
        [(one.label, one.score) for one in row.classes] for row in answer.result.classifications
    ]
    assert rows == [[("", value)] for value in answers]


def test_an_example_without_what_is_needed(conformance: Conformance) -> None:
    made = regress("regress_x_to_y", of(example(x2=1)), HALF)
    code, words = refused(conformance.predictions.Regress, made)
    assert code == INVALID
    assert "Feature: x (data type: float) is required but could not be found." in words


BYTES, FLOATS, INTEGERS = ((f"{kind}_list") for kind in ("bytes", "float", "int64"))


@pytest.mark.parametrize(
    ("feature", "kind", "values"),
    [
        ('["foo", "bar"]', BYTES, [b"foo", b"bar"]),
        ('"\\u00fc"', BYTES, ["ü".encode()]),
        ('{"b64": "aGk="}', BYTES, [b"hi"]),
        ('["a", {"b64": "aGk"}]', BYTES, [b"a", b"hi"]),
        ("[8.0, 9.5]", FLOATS, [8.0, 9.5]),
        ("6.0", FLOATS, [6.0]),
        ("[NaN, -Infinity]", FLOATS, [float("nan"), float("-inf")]),
        ("18446744073709551616", FLOATS, [2.0**64]),
        ("[NaN, -9223372036854775809]", FLOATS, [float("nan"), -(2.0**63)]),
        ("20", INTEGERS, [20]),
        ("[true, false, 3]", INTEGERS, [1, 0, 3]),
        ("[-9223372036854775808, 9223372036854775807]", INTEGERS, [-(2**63), 2**63 - 1]),
        ("[]", None, []),
    ],
)
def test_features_of_json(
    conformance: Conformance, feature: str, kind: str | None, values: list[object]
) -> None:
    body = f'{{"signature_name": "echo", "examples": [{{"f": {feature}, "more": [1]}}]}}'
    answer = conformance.send("POST", "/v1/models/kinds:classify", body)
    ((label, score),) = answer.json()["results"][0]
    assert score == 0.0
    made = tf.train.Example.FromString(base64.urlsafe_b64decode(label))
    assert set(made.features.feature) == {"f", "more"}
    found = made.features.feature["f"]
    assert found.WhichOneof("kind") == kind
    assert repr(list(getattr(found, kind).value) if kind else []) == repr(values)


TYPE = "Feature: f has element with unexpected JSON type: "
ELEMENT = "Unexpected element type in feature: f expecting type: "


@pytest.mark.parametrize(
    ("feature", "words"),
    [
        ("null", TYPE + "Null"),
        ("[[1]]", TYPE + "Array"),
        ('{"a": 1}', TYPE + "Object"),
        ('{"b64": 1}', TYPE + "Object"),
        ('{"b64": "a"}', "Unable to base64 decode"),
        ("[1.5, 2]", ELEMENT + "float"),
        ("[2, 1.5]", ELEMENT + "int64"),
        ('[2, "a"]', ELEMENT + "int64"),
        ('["a", true]', ELEMENT + "bytes"),
        ('[1.5, {"b64": "aGk="}]', ELEMENT + "float"),
        ("9223372036854775808", "Feature: f has uint64_t element. Only int64_t is supported."),
        ("[1.5, 9223372036854775808]", ELEMENT + "float"),
    ],
)
def test_features_that_json_cannot_give(conformance: Conformance, feature: str, words: str) -> None:
    for body in (
        f'{{"signature_name": "both", "examples": [{{"f": {feature}}}]}}',
        f'{{"signature_name": "both", "context": {{"f": {feature}}}, "examples": [{{}}]}}',
    ):
        for verb in ("classify", "regress"):
            status, text = conformance.post(body, verb=verb)
            assert (status, json.loads(text)) == (400, {"error": words})


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            '{"a": 1}',
            (
                "JSON Value: {\n    \"a\": 1\n} When method is classify, key 'examples' is "
                "expected and was not found"
            ),
        ),
        (
            '{"examples": 3}',
            (
                "JSON Value: {\n    \"examples\": 3\n} Expecting 'examples' value to "
                "be an list/array"
            ),
        ),
        (
            '{"examples": []}',
            ("JSON Value: {\n    \"examples\": []\n} 'examples' value is an empty array"),
        ),
        ('{"examples": [3]}', "Example must be JSON object but got JSON Number"),
        ('{"examples": [[]]}', "Example must be JSON object but got JSON Array"),
        ('{"examples": [true]}', "Example must be JSON object but got JSON True"),
        ('{"context": "a", "examples": [{}]}', "Example must be JSON object but got JSON String"),
        ('{"context": null}', "Example must be JSON object but got JSON Null"),
    ],
)
def test_bodies_without_examples(conformance: Conformance, body: str, words: str) -> None:
    for verb in ("classify", "regress"):
        status, text = conformance.post(body, verb=verb)
        assert (status, json.loads(text)) == (400, {"error": words})


@pytest.mark.parametrize("path", ["", "/versions/123", "/labels/stable"])
def test_the_real_servers_own_examples(conformance: Conformance, path: str) -> None:
    def answer(verb: str, body: str) -> object:
        found = conformance.send("POST", f"/v1/models/{HALF}{path}:{verb}", body)
        assert found.status_code == 200
        return found.json()

    body = '{"signature_name": "regress_x_to_y", "examples": [{"x": 80.0}]}'
    assert answer("regress", body) == {"results": [42.0]}
    body = body.replace("regress", "classify").replace("80", "20")
    assert answer("classify", body) == {"results": [[["", 12.0]]]}


def tasks(
    given: input_pb2.Input | None = None, **methods: str
) -> inference_pb2.MultiInferenceRequest:
    """Tasks for `kinds` by signature."""
    made = inference_pb2.MultiInferenceRequest(input=given or of(example(), example()))
    for signature, method in methods.items():
        task = made.tasks.add(method_name=f"tensorflow/serving/{method}")
        task.model_spec.name, task.model_spec.signature_name = "kinds", signature
    return made


def test_several_tasks_at_once(conformance: Conformance) -> None:
    made = tasks(values="regress", both="classify", column="regress")
    first, second, third = conformance.predictions.MultiInference(made).results
    assert [one.value for one in first.regression_result.regressions] == [0.25, 0.25]
    assert second.classification_result.classifications[1].classes[1].label == "yes"
    assert third.WhichOneof("result") == "regression_result"
    named = [(one.model_spec.name, one.model_spec.version.value) for one in (first, second, third)]
    assert named == [("kinds", 1)] * 3
    assert second.model_spec.signature_name == "both"


OTHER = tasks(values="regress")
OTHER.tasks.add(method_name="tensorflow/serving/regress").model_spec.name = "elsewhere"
NAMELESS = tasks(values="regress")
NAMELESS.tasks.add(method_name="tensorflow/serving/regress")
TWICE = tasks(values="regress")
TWICE.tasks.add().CopyFrom(TWICE.tasks[0])
FIRST = tasks(values="regress")
FIRST.tasks[0].model_spec.name = "elsewhere"


@pytest.mark.parametrize(
    ("made", "code", "words"),
    [
        (tasks(), INVALID, "ModelSpec has no name specified."),
        (FIRST, "NOT_FOUND", "Servable not found for request: Latest(elsewhere)"),
        (NAMELESS, INVALID, "Found ModelSpec with an empty model name."),
        (
            OTHER,
            INVALID,
            ("All ModelSpecs in a MultiInferenceRequest must access the same model name."),
        ),
        (TWICE, INVALID, "Duplicate evaluation of signature: values"),
        (
            tasks(nothing="regress"),
            INVALID,
            "Requested signature not found in model graph: nothing",
        ),
        (
            tasks(values="predict"),
            "UNIMPLEMENTED",
            ("Unsupported signature method_name: tensorflow/serving/predict"),
        ),
        (
            tasks(values="classify"),
            INVALID,
            (
                "Expected classification signature outputs to contain "
                'at least one of "classes" or "scores". Signature was: '
            ),
        ),
        (tasks(both="regress"), INVALID, "Expected one output Tensor."),
    ],
)
def test_tasks_that_are_refused(
    conformance: Conformance, made: inference_pb2.MultiInferenceRequest, code: str, words: str
) -> None:
    found, told = refused(conformance.predictions.MultiInference, made)
    assert found == code
    assert told == words or (words.endswith(": ") and told.startswith(words))


def test_methods_without_a_model(conformance: Conformance) -> None:
    calls: list[tuple[grpc.UnaryUnaryMultiCallable, object]] = [
        (conformance.predictions.Classify, classification_pb2.ClassificationRequest()),
        (conformance.predictions.Regress, regression_pb2.RegressionRequest()),
    ]
    for method, made in calls:
        assert refused(method, made) == (INVALID, "Missing ModelSpec")
    for method, made in (
        (conformance.predictions.Classify, classify("both", model="foo")),
        (conformance.predictions.Regress, regress("values", model="foo")),
    ):
        assert refused(method, made)[0] == "NOT_FOUND"
