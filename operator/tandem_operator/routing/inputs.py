"""What routing is compiled from. Filled by `reconcile`; knows nothing of Kubernetes objects."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from tandem_operator import names
from tandem_operator.api.v1alpha1 import Target
from tandem_operator.routing.destination import HTTPS, destination_digest


@dataclass(frozen=True)
class RoutedDeployment:
    """One ModelDeployment, as the gateway needs to see it."""

    namespace: str
    name: str
    names: tuple[str, ...]
    """Every model name that was granted to it, ``namespace/name`` among them."""

    prefix: str
    """Route prefix of its Serve application: ``/`` first, none last."""

    clouds: tuple[str, ...] = ()
    """Endpoints that its requests may use, in the order in which they are tried. They need not exist in Envoy yet."""

    fails_over: bool = False
    """Whether Envoy itself may go to a cloud: failover or bridge is allowed."""

    overflows: bool = False
    """Whether a replica may send a request to a cloud."""

    targets: tuple[Target, ...] = ()
    """Replicas' own ports. Empty means that there are none; unknown is the caller's to resolve."""

    @property
    def key(self) -> str:
        return names.key(self.namespace, self.name)


@dataclass(frozen=True)
class RoutedEndpoint:
    """One CloudEndpoint, as Envoy needs to see it: never its credential."""

    name: str
    url: str
    """Its base URL. The provider's certificate must carry the host's name."""

    region: str
    ca_pem: str | None = None
    """Authorities that may have signed that certificate; None = those of the gateway's system."""

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or HTTPS

    @property
    def destination(self) -> str:
        return destination_digest(self.url, region=self.region, ca_pem=self.ca_pem)


@dataclass(frozen=True)
class Bounds:
    """Generous limits in seconds on the time that an answer takes.

    They end what was lost, they do not keep an objective: time to first token is the replica's to bound. ``answer`` and
    ``silence`` are one leg's, whatever the length of its chain: they stand in routes that all deployments share.
    """

    answer: float = 900
    """A whole answer that is not streamed, all attempts together."""

    silence: float = 900
    """Nothing on a stream, before its headers or between two tokens."""

    clouds_begin: float = 600
    """All clouds of a chain together, until one begins to answer: so much less than ``answer`` and ``silence`` that the
    last local attempt has its time."""

    cloud_answer: float = 300
    """A whole answer of one cloud that is not streamed."""

    cloud_silence: float = 300
    """Nothing on one cloud's stream."""

    guard: float = 5
    """The guard's answer to one message. Past it the request does not leave."""

    def cloud_share_milliseconds(self, clouds: int) -> int:
        """Return how long each of so many clouds may take to begin its answer.

        What is not streamed begins when it is done, so one or two clouds have the whole of ``cloud_answer``.
        """
        return int(1000 * min(self.cloud_answer, self.clouds_begin / max(1, clouds)))


USUAL: Final = Bounds()


@dataclass(frozen=True)
class GatewaySettings:
    """Where the gateway listens."""

    address: str = "0.0.0.0"  # noqa: S104  inside a pod, behind its Service
    port: int = 8080
    bounds: Bounds = USUAL
