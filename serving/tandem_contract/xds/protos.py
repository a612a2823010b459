"""Plain dicts to protobuf, with every field name checked.

Called wherever a resource is made. Message classes are imported when an ``@type`` first names their package.
The composite cluster's message is declared here: it is the only one that ``xds-protos`` lacks.
"""

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, json_format

from tandem_contract.xds.types import PREFIX

_COMPOSITE_PACKAGE: Final = "envoy.extensions.clusters.composite.v3"


class InvalidResource(ValueError):  # noqa: N818  says what the thing is
    """A resource that is not what Envoy's own message definitions say."""


def to_any(message: Mapping[str, Any]) -> any_pb2.Any:
    """Return the protobuf form of a dict with ``@type``; ``InvalidResource`` for a field that does not exist."""
    try:
        for package in _packages(message):
            _import_package(package)
        return json_format.ParseDict(dict(message), any_pb2.Any())
    except (json_format.ParseError, ImportError, TypeError, KeyError) as error:
        raise InvalidResource(f"{message.get('@type')} {message.get('name', '')}: {error}") from error


def _packages(value: object) -> Iterator[str]:
    """Yield the package of every ``@type`` in a message, however deep."""
    if isinstance(value, Mapping):
        if isinstance(kind := value.get("@type"), str):
            yield kind.removeprefix(PREFIX).rpartition(".")[0]
        for inner in value.values():
            yield from _packages(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _packages(inner)


@cache
def _import_package(package: str) -> None:
    """Import every message of one of Envoy's packages."""
    if package == _COMPOSITE_PACKAGE or not package.startswith("envoy."):
        return
    folder = importlib.import_module(package)
    for module in pkgutil.iter_modules(folder.__path__):
        if module.name.endswith("_pb2"):
            importlib.import_module(f"{package}.{module.name}")


def _declare_composite() -> None:
    file = descriptor_pb2.FileDescriptorProto(
        name="envoy/extensions/clusters/composite/v3/cluster.proto", package=_COMPOSITE_PACKAGE, syntax="proto3"
    )
    config = file.message_type.add(name="ClusterConfig")
    entry = config.nested_type.add(name="ClusterEntry")
    field = descriptor_pb2.FieldDescriptorProto
    entry.field.add(name="name", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    config.field.add(
        name="clusters",
        number=1,
        type=field.TYPE_MESSAGE,
        label=field.LABEL_REPEATED,
        type_name=f".{_COMPOSITE_PACKAGE}.ClusterConfig.ClusterEntry",
    )
    descriptor_pool.Default().Add(file)


_declare_composite()
