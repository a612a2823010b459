"""The objects last seen, by key, and what changed about them. Pure; fed by the watch's events and by our own relists.

kopf reports no deletion across a 410, so a list is the truth and events only make it fresher: what a complete list
lacks is gone, unless it was seen in a newer version than the list's. What an event deleted while a list was under
way stays deleted although that list still has it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from tandem_operator.api.v1alpha1 import Raw


class Kind(StrEnum):
    """In the order in which they are listed and first looked at: those that others refer to come first."""

    NAMESPACE = "Namespace"
    ENDPOINT = "CloudEndpoint"
    DEPLOYMENT = "ModelDeployment"


class Key(NamedTuple):
    """Identity of an object; ``namespace`` is empty for cluster-scoped ones."""

    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        path = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind} {path}"


class Change(NamedTuple):
    """One object before and after; ``None`` = it was not there."""

    key: Key
    before: Raw | None
    after: Raw | None

    @property
    def made_by_people(self) -> bool:
        """Whether more than a status differs: the object came or went, or somebody edited it."""
        return self.before is None or self.after is None or _wanted(self.before) != _wanted(self.after)


def key_of(kind: Kind, raw: Mapping[str, Any]) -> Key:
    metadata = raw["metadata"]
    return Key(kind, metadata.get("namespace", ""), metadata["name"])


def version(raw: Mapping[str, Any]) -> int:
    """Return the resource version as the number that it is since Kubernetes 1.35; 0 when it cannot be read as one."""
    text = raw.get("metadata", {}).get("resourceVersion", "")
    return int(text) if text.isdecimal() else 0


@dataclass(slots=True)
class _Shelf:
    objects: dict[Key, Raw] = field(default_factory=dict)
    relisting: bool = False
    deleted: set[tuple[Key, str]] = field(default_factory=set)
    """Key and uid of what events deleted since the relist began."""

    listed: int = 0
    """Resource version of the last list."""


class Cache:
    """Raw objects of the three kinds that Tandem watches."""

    def __init__(self) -> None:
        self._shelves = {kind: _Shelf() for kind in Kind}

    def get(self, key: Key) -> Raw | None:
        return self._shelves[key.kind].objects.get(key)

    def keys(self, kind: Kind) -> list[Key]:
        return list(self._shelves[kind].objects)

    def see(self, kind: Kind, raw: Raw) -> Change | None:
        """Take in an object that an event or a read brought; None = nothing new, or older than what is known."""
        key = key_of(kind, raw)
        shelf = self._shelves[kind]
        before = shelf.objects.get(key)
        if before is not None and _uid(before) == _uid(raw) and version(raw) <= version(before):
            return None
        if (key, _uid(raw)) in shelf.deleted:
            return None
        shelf.objects[key] = raw
        return Change(key, before, raw)

    def gone(self, kind: Kind, raw: Raw) -> Change | None:
        """Take in that an object was deleted; None = it was not known, or another one has its name by now."""
        key = key_of(kind, raw)
        shelf = self._shelves[kind]
        if shelf.relisting:
            shelf.deleted.add((key, _uid(raw)))
        before = shelf.objects.get(key)
        if before is None or _uid(before) != _uid(raw):
            return None
        del shelf.objects[key]
        return Change(key, before, None)

    def relist_begins(self, kind: Kind) -> None:
        """Say that a list is about to be asked for: deletions from now on are newer than what it will say."""
        self._shelves[kind].relisting = True
        self._shelves[kind].deleted.clear()

    def relist(self, kind: Kind, objects: list[Raw], list_version: int) -> list[Change]:
        """Take in a complete list and return what differs from what was known."""
        shelf = self._shelves[kind]
        listed = {key_of(kind, raw): raw for raw in objects}
        listed = {key: raw for key, raw in listed.items() if (key, _uid(raw)) not in shelf.deleted}
        restored = list_version < shelf.listed  # etcd came back from a backup: what is known is from another history
        shelf.relisting, shelf.listed = False, list_version
        shelf.deleted.clear()
        changes = [
            Change(key, shelf.objects.get(key), raw)
            for key, raw in listed.items()
            if _differs(shelf.objects.get(key), raw, restored=restored)
        ]
        changes += [
            Change(key, known, None)
            for key, known in shelf.objects.items()
            if key not in listed and (restored or version(known) <= list_version)
        ]
        for change in changes:
            if change.after is None:
                del shelf.objects[change.key]
            else:
                shelf.objects[change.key] = change.after
        return changes


def _wanted(raw: Raw) -> tuple[Any, ...]:
    metadata = raw["metadata"]
    return tuple(metadata.get(name) for name in ("uid", "generation", "deletionTimestamp", "labels", "annotations"))


def _differs(before: Raw | None, listed: Raw, *, restored: bool) -> bool:
    if before is None or _uid(before) != _uid(listed):
        return True
    return version(listed) != version(before) if restored else version(listed) > version(before)


def _uid(raw: Mapping[str, Any]) -> str:
    return str(raw["metadata"].get("uid", ""))
