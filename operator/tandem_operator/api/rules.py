"""One rule, two judges: the API server (CEL) and pydantic. Used by the API types alone; decides nothing about them.

A rule is written once, with the message that a person reads. The API server puts the field's path before it, pydantic
the location, so a message says what is wrong and what to write instead, and never repeats the field's name.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

VALIDATIONS: Final = "x-kubernetes-validations"


def _always(_: Any) -> bool:
    return True


@dataclass(frozen=True)
class Rule:
    """What must hold of a value; as an annotation of a field, or in ``ApiModel.rules`` for a whole object."""

    cel: str
    """The rule for the API server; ``self`` is the value."""

    message: str
    """What is wrong and what to do, for the person who applied the object."""

    holds: Callable[[Any], bool] = _always
    """The same rule in Python. Left out where only the API server can know (``oldSelf``)."""

    field_path: str = ""
    """Where the message points to, such as ``.max``, when the rule looks at several fields of an object."""

    def to_schema(self) -> dict[str, str]:
        """Return the entry of ``x-kubernetes-validations``."""
        entry = {"rule": self.cel, "message": self.message}
        return {**entry, "fieldPath": self.field_path} if self.field_path else entry

    def check(self, value: Any) -> Any:
        """Return ``value``; ``ValueError`` with the message when the rule does not hold."""
        if not self.holds(value):
            raise ValueError(self.message)
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        result = handler(schema)
        return {**result, VALIDATIONS: [*result.get(VALIDATIONS, []), self.to_schema()]}


def matches(pattern: str, message: str) -> Rule:
    """Return the rule that the whole string matches ``pattern``, which must mean the same in RE2 and in Python.

    The schema's own ``pattern`` would show the person a regular expression and no advice.
    """
    compiled = re.compile(pattern, re.ASCII)
    return Rule(f"self.matches(r'^(?:{pattern})$')", message, lambda value: compiled.fullmatch(value) is not None)


def must_not_match(pattern: str, message: str) -> Rule:
    """Return the rule that the whole string does not match ``pattern``."""
    compiled = re.compile(pattern, re.ASCII)
    return Rule(f"!self.matches(r'^(?:{pattern})$')", message, lambda value: compiled.fullmatch(value) is None)


@dataclass(frozen=True)
class InOrder:
    """Rules of which a person sees only the first that fails: the advice of the others would be noise."""

    rules: tuple[Rule, ...]
    """Rules whose CEL is one call, negated or not."""

    def effective(self) -> tuple[Rule, ...]:
        """Return the rules, each silent when one before it fails."""
        return tuple(
            replace(rule, cel=" || ".join([*(_negated(before.cel) for before in self.rules[:index]), rule.cel]))
            for index, rule in enumerate(self.rules)
        )

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        result = handler(schema)
        return {**result, VALIDATIONS: [rule.to_schema() for rule in self.effective()]}

    def _check(self, value: Any) -> Any:
        for rule in self.rules:
            rule.check(value)
        return value


def _negated(call: str) -> str:
    return call.removeprefix("!") if call.startswith("!") else f"!{call}"


def in_order(*rules: Rule) -> InOrder:
    """Return ``rules`` as one annotation that reports the first that fails."""
    return InOrder(rules)


def no_value_twice() -> Rule:
    """Return the rule that a list holds no value twice.

    Kubernetes' own list type ``set`` would do, but server-side apply merges sets: someone who narrows a list that the
    API server had filled with a default would narrow nothing.
    """
    return Rule(
        "self.all(one, self.exists_one(other, one == other))",
        "name each value once",
        lambda values: len(set(values)) == len(values),
    )


@dataclass(frozen=True)
class MapBy:
    """A list that is a map by one field of its items: that field's values differ, and appliers merge item by item."""

    key: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [self.key]}

    def _check(self, items: Any) -> Any:
        keys = [getattr(item, self.key) for item in items]
        if len(set(keys)) < len(keys):
            raise ValueError(f"Duplicate value: each {self.key} once")
        return items
