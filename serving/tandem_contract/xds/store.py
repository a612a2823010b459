"""Resources by owner: what a stream must carry, and who is told when that changes.

The operator puts what it compiled for one deployment or endpoint; the agent what arrived. A store belongs to
one event loop and is not thread-safe. It does not know who is connected.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from tandem_contract.xds.resources import Key, Resource


class Watch:
    """Keys that changed since the last look, with the owner that changed them. One per stream."""

    def __init__(self) -> None:
        self._changed: dict[Key, str] = {}
        self._event = asyncio.Event()

    def mark(self, key: Key, owner: str) -> None:
        self._changed[key] = owner
        self._event.set()

    def wake(self) -> None:
        """Let ``changes`` return, perhaps with nothing."""
        self._event.set()

    async def changes(self) -> Mapping[Key, str]:
        """Wait until something changed, and return it; what changes in one turn of the loop comes together."""
        await self._event.wait()
        self._event.clear()
        return self.take()

    def take(self) -> Mapping[Key, str]:
        """Return what changed since the last look, perhaps nothing."""
        changed, self._changed = self._changed, {}
        return changed


class Store:
    """What is published now. ``put`` replaces all that an owner had; equal content is no event."""

    def __init__(self) -> None:
        self._by_type: dict[str, dict[str, Resource]] = {}
        self._owners: dict[str, dict[Key, Resource]] = {}
        self._owner_of: dict[Key, str] = {}
        self._watches: set[Watch] = set()

    def put(self, owner: str, resources: Iterable[Resource]) -> bool:
        """Publish exactly these for ``owner``; return whether anything changed.

        A resource belongs to the last owner that put it, so a model name can move between deployments.
        """
        wanted = {resource.key: resource for resource in resources}
        before = self._owners.get(owner, {})
        changed = [key for key, resource in wanted.items() if not self._holds(owner, resource)]
        gone = [key for key in before if key not in wanted]
        for key in changed:
            self._take(owner, wanted[key])
        for key in gone:
            self._remove(owner, key)
        return bool(changed or gone)

    def drop(self, owner: str) -> bool:
        """Withdraw all that ``owner`` had."""
        return self.put(owner, ())

    def get(self, key: Key) -> Resource | None:
        return self._by_type.get(key.type_url, {}).get(key.name)

    def resources(self, type_url: str) -> Mapping[str, Resource]:
        """Return what is published of one type, by name; a live view."""
        return MappingProxyType(self._by_type.setdefault(type_url, {}))

    def owned_by(self, owner: str) -> Mapping[Key, Resource]:
        return MappingProxyType(self._owners.get(owner, {}))

    def owner_of(self, key: Key) -> str | None:
        return self._owner_of.get(key)

    def owners(self) -> frozenset[str]:
        return frozenset(self._owners)

    def __iter__(self) -> Iterator[Resource]:
        for owned in self._owners.values():
            yield from owned.values()

    def watch(self) -> Watch:
        """Return a new watch; give it back with ``unwatch``."""
        watch = Watch()
        self._watches.add(watch)
        return watch

    def unwatch(self, watch: Watch) -> None:
        self._watches.discard(watch)

    def _holds(self, owner: str, resource: Resource) -> bool:
        held = self._owners.get(owner, {}).get(resource.key)
        return held is not None and held.version == resource.version

    def _take(self, owner: str, resource: Resource) -> None:
        key = resource.key
        previous = self._owner_of.get(key)
        if previous is not None and previous != owner:
            self._forget(previous, key)
        self._owner_of[key] = owner
        self._owners.setdefault(owner, {})[key] = resource
        self._by_type.setdefault(key.type_url, {})[key.name] = resource
        self._mark(key, owner)

    def _remove(self, owner: str, key: Key) -> None:
        self._forget(owner, key)
        del self._owner_of[key]
        del self._by_type[key.type_url][key.name]
        self._mark(key, owner)

    def _forget(self, owner: str, key: Key) -> None:
        owned = self._owners[owner]
        del owned[key]
        if not owned:
            del self._owners[owner]

    def _mark(self, key: Key, owner: str) -> None:
        for watch in self._watches:
            watch.mark(key, owner)
