"""kopf's handlers: an event becomes a key on the queue, and nothing else. Runs in kopf's thread, see ``watching``.

kopf gives watching and login. It is not the brain: its handlers lose work on conflicts, its timers die, it misses
deletions across a 410 and elects no leader (docs/adr/0001). So no state handlers, no timers, no indices.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import kopf

from tandem_operator import names
from tandem_operator.api.v1alpha1 import Raw
from tandem_operator.cache import Kind

OnEvent = Callable[[Kind, Raw, bool], None]
"""Called in kopf's thread with the kind, the object, and whether it is gone."""

_WATCHED: Final = (
    ((names.GROUP, "v1alpha1", "modeldeployments"), Kind.DEPLOYMENT),
    ((names.GROUP, "v1alpha1", "cloudendpoints"), Kind.ENDPOINT),
    (("", "v1", "namespaces"), Kind.NAMESPACE),
)


class _Forever:
    """Delays between attempts of kopf's own requests: they never run out, so no outage ends the watch."""

    def __iter__(self) -> Iterator[float]:
        yield from (0.2, 0.5, 1.0, 2.0)
        while True:
            yield 5.0


def make_registry(on_event: OnEvent) -> kopf.OperatorRegistry:
    """Return the registry of everything that kopf runs."""
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(login)
    for resource, kind in _WATCHED:
        kopf.on.event(*resource, registry=registry, id=f"enqueue-{kind.value.lower()}")(_enqueue(kind, on_event))
    return registry


def make_settings() -> kopf.OperatorSettings:
    """Return settings under which kopf only watches: it writes nothing and needs to see nothing else."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True  # least privilege: neither CRDs nor all namespaces are observed
    settings.peering.standalone = True
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330
    settings.watching.connect_timeout = 10
    settings.watching.inactivity_timeout = 70
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    settings.networking.error_backoffs = _Forever()  # iterated anew for each request
    settings.queueing.idle_timeout = 0.5  # seconds that a finished object's worker lingers
    settings.process.ultimate_exiting_timeout = None  # it would kill the whole process, not its thread
    return settings


def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
    """Return the ServiceAccount's credentials, or those of ``KUBECONFIG``; files are read anew, since tokens rotate."""
    return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)


def _enqueue(kind: Kind, on_event: OnEvent) -> Callable[..., Any]:
    async def enqueue(event: kopf.RawEvent, **_: Any) -> None:
        on_event(kind, dict(event["object"]), event["type"] == "DELETED")

    return enqueue
