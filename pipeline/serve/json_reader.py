"""Reading JSON text as RapidJSON 1.1 does it: any nesting, NaN and Infinity, its words for errors.

Slow, and so only for text that faster parsers refuse or read otherwise.
"""

from __future__ import annotations

from typing import Any

from pipeline.serve.json_scalars import END, Scalars


class Reader:
    """Reads the first value of a text without recursion.

    Args:
        text: The text; bytes that are no UTF-8 as lone surrogates (`surrogateescape`).
    """

    def __init__(self, text: str) -> None:
        self._scalars = Scalars(text)

    def value(self) -> Any:
        """The value; of a repeated key the first counts.

        Raises:
            ServingError: INVALID_ARGUMENT: the text is no JSON.
        """
        if self._scalars.peek() in {*END, "]", "}", ",", ":"}:
            raise self._scalars.error("The document is empty.")
        open_ones: list[tuple[Any, str]] = []
        while True:
            begun, key = self._begin()
            if key is not None:
                open_ones.append((begun, key))
                continue
            while open_ones:
                container, key = open_ones.pop()
                _put(container, key, begun)
                if self._goes_on(container):
                    open_ones.append((container, self._key_of(container)))
                    break
                begun = container
            else:
                return begun

    def _begin(self) -> tuple[Any, str | None]:
        """A whole value and None; or a container that has members to come, and the first key."""
        bracket = self._scalars.peek()
        if bracket not in {"{", "["}:
            return self._scalars.scalar(bracket), None
        self._scalars.at += 1
        container: Any = {} if bracket == "{" else []
        if self._scalars.peek() != ("}" if bracket == "{" else "]"):
            return container, self._key_of(container)
        self._scalars.at += 1
        return container, None

    def _key_of(self, container: Any) -> str:
        return "" if isinstance(container, list) else self._key()

    def _goes_on(self, container: Any) -> bool:
        mark = self._scalars.peek()
        closing = "]" if isinstance(container, list) else "}"
        if mark not in {",", closing}:
            where = "an array element" if closing == "]" else "an object member"
            raise self._scalars.error(f"Missing a comma or '{closing}' after {where}.")
        self._scalars.at += 1
        return mark == ","

    def _key(self) -> str:
        if self._scalars.peek() != '"':
            raise self._scalars.error("Missing a name for object member.")
        key = self._scalars.string()
        if self._scalars.peek() != ":":
            raise self._scalars.error("Missing a colon after a name of object member.")
        self._scalars.at += 1
        return key


def _put(container: Any, key: str, value: Any) -> None:
    if isinstance(container, list):
        container.append(value)
    else:
        container.setdefault(key, value)
