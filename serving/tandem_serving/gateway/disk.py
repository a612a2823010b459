"""The last good snapshot on disk, so that a gateway that starts with its link cut serves again.

Used by the agent. Never holds a credential. A file that is not whole is not half used: ``CorruptSnapshot``.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf.message import DecodeError
from tandem_contract.xds import Key, Resource, from_wire
from tandem_contract.xds.types import ALL, NEVER_ON_DISK

_MAGIC: Final = b"tandem-snapshot/1 sha256="


class CorruptSnapshot(Exception):  # noqa: N818  says what the thing is
    """The file is not a snapshot that this version wrote whole."""


def encode(resources: Iterable[Resource]) -> bytes:
    """Return the file's content: a line with the checksum, then one protobuf message."""
    message = discovery_pb2.DeltaDiscoveryResponse(
        resources=[
            discovery_pb2.Resource(name=resource.key.name, version=resource.version, resource=resource.body)
            for resource in resources
            if resource.key.type_url not in NEVER_ON_DISK
        ]
    )
    body: bytes = message.SerializeToString()
    return _MAGIC + hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def decode(content: bytes) -> list[Resource]:
    """Return the resources of a file's content."""
    head, _, body = content.partition(b"\n")
    if not head.startswith(_MAGIC):
        raise CorruptSnapshot("it does not begin as a snapshot of this version does")
    if head.removeprefix(_MAGIC) != hashlib.sha256(body).hexdigest().encode():
        raise CorruptSnapshot("its checksum does not match")
    try:
        message = discovery_pb2.DeltaDiscoveryResponse.FromString(body)
        return [
            from_wire(Key(wire.resource.type_url, wire.name), wire.version, wire.resource)
            for wire in message.resources
            if wire.resource.type_url in ALL and wire.resource.type_url not in NEVER_ON_DISK
        ]
    except DecodeError as error:
        raise CorruptSnapshot(str(error)) from error


def write(path: Path, content: bytes) -> None:
    """Replace the file: after a crash at any moment there is the old content or the new, readable by us alone."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def read(path: Path) -> list[Resource]:
    """Return what was written last; empty when nothing was."""
    try:
        return decode(path.read_bytes())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CorruptSnapshot(str(error)) from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
