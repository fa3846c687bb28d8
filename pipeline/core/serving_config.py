"""models.config: which versions a server loads and what their labels are.

The file is TensorFlow Serving's `model_config_list` in protobuf text format. It follows from what
stands on disk, who bears an alias in the registry, and who was champion before; so it can be
written again at any time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.core.artifacts import Artifacts, require
from pipeline.core.errors import PipelineError
from pipeline.core.promotions import champions, read_promotions
from pipeline.core.publishing import publish_file

_TOKEN = re.compile(r"""\s+|\#[^\n]*|(?P<token>"(?:[^"\\\n]|\\.)*"|[\w.+-]+|[{}:<>\[\],;])""")
_ESCAPED = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


@dataclass(frozen=True)
class ServedModel:
    """One model of models.config.

    Attributes:
        name: Name in requests.
        base_path: Absolute folder with one subfolder for each version.
        versions: Versions to load; empty: the newest.
        labels: Label to version, as in `/v1/models/NAME/labels/LABEL`.
    """

    name: str
    base_path: str
    versions: tuple[int, ...] = ()
    labels: Mapping[str, int] = field(default_factory=dict)


def publish_serving_config(
    artifacts: Artifacts, aliases: Callable[[str], Mapping[str, int]]
) -> list[ServedModel]:
    """Writes models.config for every exported model, and returns what it says.

    Loaded are the versions with a label, and the champion before the present one, so that a
    rollback finds it warm. A model that nobody gave an alias serves its newest version.

    Args:
        artifacts: The project's artifacts.
        aliases: Alias to version for a model name; `Registry.aliases` is one such function.
    """
    former = read_promotions(artifacts.promotions)
    models = []
    for folder in sorted(artifacts.serving.glob("*")):
        there = exported_versions(artifacts, folder.name)
        if there:
            labels = {k: v for k, v in sorted(aliases(folder.name).items()) if v in there}
            line = champions(former, folder.name)
            warm = {*labels.values(), *line[-2:-1]} if labels else set()
            versions = tuple(sorted(warm.intersection(there)))
            models.append(ServedModel(folder.name, str(folder.resolve()), versions, labels))
    with publish_file(artifacts.serving_config) as aside:
        aside.write_text(serving_config_text(models), encoding="utf-8")
    return models


def exported_versions(artifacts: Artifacts, name: str) -> tuple[int, ...]:
    """The versions of a model that stand in models/serving, in order."""
    found = (artifacts.serving / name).glob("*/saved_model.pb")
    return tuple(sorted(int(path.parent.name) for path in found if path.parent.name.isdecimal()))


def serving_config_text(models: list[ServedModel]) -> str:
    """`models` as a ModelServerConfig in protobuf text format."""
    return "\n".join(["model_config_list {", *(_block(model) for model in models), "}", ""])


def read_serving_config(path: Path) -> list[ServedModel]:
    """Reads models.config, also one written by hand.

    Raises:
        PipelineError: It is missing, or is not what TensorFlow Serving takes.
    """
    require(path)
    try:
        tokens = _tokens(path.read_text(encoding="utf-8"))
        lists = _message(tokens).get("model_config_list", [])
        return [_model(model) for one in lists for model in one.get("config", [])]
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration) as error:
        raise PipelineError(
            f"{path} is damaged: {error or 'it ends too early'}",
            expected="a model_config_list in protobuf text format",
            remedy="remove it; `pipeline serve` and `pipeline ask` write it again",
        ) from error


def _block(model: ServedModel) -> str:
    lines = [
        "  config {",
        f"    name: {_quoted(model.name)}",
        f"    base_path: {_quoted(model.base_path)}",
        '    model_platform: "tensorflow"',
    ]
    if model.versions:
        numbers = " ".join(f"versions: {version}" for version in model.versions)
        lines.append(f"    model_version_policy {{ specific {{ {numbers} }} }}")
    for label, version in model.labels.items():
        lines.append(f"    version_labels {{ key: {_quoted(label)} value: {version} }}")
    return "\n".join([*lines, "  }"])


def _model(message: Mapping[str, list[Any]]) -> ServedModel:
    policies = message.get("model_version_policy", [{}])
    specific = policies[0].get("specific", [{}])[0]
    return ServedModel(
        name=message["name"][0],
        base_path=message["base_path"][0],
        versions=tuple(int(version) for version in specific.get("versions", [])),
        labels={
            entry["key"][0]: int(entry["value"][0]) for entry in message.get("version_labels", [])
        },
    )


def _message(tokens: Iterator[str]) -> dict[str, list[Any]]:
    """Fields of a message until its closing brace; every field is a list of its values."""
    fields: dict[str, list[Any]] = {}
    for name in tokens:
        if name in {"}", ">"}:
            break
        if name in {",", ";"}:
            continue
        value = next(tokens)
        if value == ":":
            value = next(tokens)
        values = fields.setdefault(name, [])
        if value in {"{", "<"}:
            values.append(_message(tokens))
        elif value == "[":
            values += [_scalar(item) for item in iter(tokens.__next__, "]") if item != ","]
        else:
            values.append(_scalar(value))
    return fields


def _tokens(text: str) -> Iterator[str]:
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ValueError(f"{text[position : position + 20]!r} at character {position}")
        position = match.end()
        if match["token"]:
            yield match["token"]


def _quoted(text: str) -> str:
    return '"' + "".join(_ESCAPED.get(letter, letter) for letter in text) + '"'


def _scalar(token: str) -> str:
    if not token.startswith('"'):
        return token
    meaning = {escaped: letter for letter, escaped in _ESCAPED.items()}
    return re.sub(r"\\.", lambda match: meaning.get(match[0], match[0][1:]), token[1:-1])
