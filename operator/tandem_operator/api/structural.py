"""A pydantic type as the structural schema that Kubernetes takes. Pure; used by ``crd`` alone.

What a structural schema cannot say is refused here, naming the field, instead of by an API server later. Descriptions
get their range and default from the schema itself, so that ``kubectl explain`` never disagrees with what is enforced.
"""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

Schema = dict[str, Any]

_KEPT: Final = (
    "description",
    "type",
    "format",
    "enum",
    "default",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "maxProperties",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-validations",
    "required",
    "items",
    "additionalProperties",
    "properties",
)
"""What a schema may say, in the order in which it is written."""

_DROPPED: Final = frozenset({"title", "$defs"})
_LIMITS: Final = {
    "array": frozenset({"minItems", "maxItems"}),
    "object": frozenset({"maxProperties"}),
    "string": frozenset({"minLength", "maxLength", "format"}),
    "integer": frozenset({"minimum", "maximum", "format"}),
    "boolean": frozenset[str](),
}
_ALL_LIMITS: Final = frozenset[str]().union(*_LIMITS.values())


class NotStructuralError(TypeError):
    """A field says something that a structural schema cannot."""


def structural(model: type[BaseModel], *, defaults: bool) -> Schema:
    """Return the schema of ``model``. With ``defaults``, the API server writes them where they can be seen."""
    schema = model.model_json_schema(by_alias=True)
    return _convert(schema, schema.get("$defs", {}), model.__name__, defaults=defaults)


def _convert(schema: Mapping[str, Any], definitions: Mapping[str, Any], path: str, *, defaults: bool) -> Schema:
    flat = _resolve(schema, definitions, path)
    flat.pop("default", None)  # its place is decided by the field that holds this
    _refuse_unknown(flat, path)
    if "properties" in flat:
        required = frozenset(flat.get("required", ()))
        flat["properties"] = {
            name: _property(field, definitions, f"{path}.{name}", required=name in required, defaults=defaults)
            for name, field in flat["properties"].items()
        }
    if "items" in flat:
        flat["items"] = _convert(flat["items"], definitions, f"{path}[]", defaults=defaults)
    if isinstance(values := flat.pop("additionalProperties", False), dict):
        flat["additionalProperties"] = _convert(values, definitions, f"{path}{{}}", defaults=defaults)
    return _in_order(flat)


def _property(
    field: Mapping[str, Any], definitions: Mapping[str, Any], path: str, *, required: bool, defaults: bool
) -> Schema:
    schema = _convert(field, definitions, path, defaults=defaults)
    if not schema.get("description"):
        raise NotStructuralError(f"{path}: needs a docstring")
    default = _default(schema, field.get("default")) if defaults else None
    schema["description"] = " ".join([schema["description"], *_notes(schema, default, required=required)])
    return _in_order(schema if default is None else {**schema, "default": default})


def _in_order(flat: Schema) -> Schema:
    if "description" in flat:
        flat["description"] = " ".join(flat["description"].split())
    return {key: flat[key] for key in _KEPT if key in flat}


def _default(schema: Schema, default: Any) -> Any:
    """Return the default to write: an object's is made of its fields' own, an empty list stays unsaid."""
    if default in (None, [], ""):
        return None
    if schema["type"] != "object":
        return default
    return {name: field["default"] for name, field in schema["properties"].items() if "default" in field}


def _notes(schema: Schema, default: Any, *, required: bool) -> list[str]:
    """Return the sentences that end a description: whether it must be given, its default and its range."""
    notes = ["Required."] if required else []
    if default is not None and schema["type"] != "object":
        notes.append(f"Default: {_as_yaml(default)}.")
    if "minimum" in schema and "maximum" in schema:
        notes.append(f"Range: {schema['minimum']} to {schema['maximum']}.")
    if "maxLength" in schema:
        notes.append(f"At most {schema['maxLength']} characters.")
    if "maxItems" in schema:
        notes.append(f"At most {schema['maxItems']} items.")
    if "maxProperties" in schema:
        notes.append(f"At most {schema['maxProperties']} entries.")
    return notes


def _as_yaml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(value)}]"
    return f'"{value}"' if isinstance(value, str) and value.isdigit() else str(value)


def _resolve(schema: Mapping[str, Any], definitions: Mapping[str, Any], path: str) -> Schema:
    """Return ``schema`` without references and without null: an absent field is the only "no value"."""
    flat: Schema = dict(schema)
    if "anyOf" in flat:
        choices = [choice for choice in flat.pop("anyOf") if choice != {"type": "null"}]
        if len(choices) != 1:
            raise NotStructuralError(f"{path}: a field has one type")
        flat = {**_resolve(choices[0], definitions, path), **flat}
    if "$ref" in flat:
        name = flat.pop("$ref").removeprefix("#/$defs/")
        flat = {**_resolve(definitions[name], definitions, path), **flat}
    if "const" in flat:
        flat["enum"] = [flat.pop("const")]
    return flat


def _refuse_unknown(flat: Mapping[str, Any], path: str) -> None:
    unknown = set(flat) - set(_KEPT) - _DROPPED
    if unknown:
        raise NotStructuralError(f"{path}: a structural schema has no {', '.join(sorted(unknown))}")
    kind = flat.get("type")
    if kind not in _LIMITS:
        raise NotStructuralError(f"{path}: type {kind} is not allowed; quantities are strings, times whole numbers")
    misplaced = set(flat) & _ALL_LIMITS - _LIMITS[kind]
    if misplaced:
        raise NotStructuralError(f"{path}: {', '.join(sorted(misplaced))} means nothing for {kind}")
