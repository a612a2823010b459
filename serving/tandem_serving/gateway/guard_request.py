"""One attempt's request as Envoy's headers tell it. Pure; the exchange makes one when they come."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tandem_contract import headers

from tandem_serving.gateway.guard_decide import RequestFacts


@dataclass(frozen=True)
class WayOut:
    """Which listener asks: its configuration says so, no client and no upstream can."""

    endpoint: str = ""
    destination: str = ""
    """Digest of the place that it leads to."""


@dataclass(frozen=True)
class AttemptRequest:
    """Headers by lower-case name, those that came twice joined."""

    way_out: WayOut
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def deployment(self) -> str:
        return self.headers.get(headers.DEPLOYMENT, "")

    @property
    def hop(self) -> str | None:
        return self.headers.get(headers.HOP)

    def facts(self, *, repeated: bool) -> RequestFacts:
        """Return what the decision needs to know."""
        named = self.headers
        return RequestFacts(
            endpoint=self.way_out.endpoint,
            destination=self.way_out.destination,
            deployment=named.get(headers.DEPLOYMENT),
            method=named.get(":method", ""),
            path=named.get(":path", ""),
            hop=self.hop,
            repeated=repeated,
            token=named.get(headers.TOKEN),
            reason=named.get(headers.REASON),
            data_class=named.get(headers.DATA_CLASS),
            route=named.get(headers.ROUTE),
        )

    def attempts(self) -> int:
        """Return how many upstreams were tried: Envoy counts from 1 again after a redirect."""
        now, before = self.headers.get(headers.ATTEMPT_COUNT), self.headers.get(headers.PRIOR_ATTEMPTS)
        return headers.count(now, unknown=1) + headers.count(before, unknown=0)

    def for_the_log(self) -> dict[str, str]:
        """Return what finds this request again."""
        request_id = self.headers.get(headers.REQUEST_ID, "")
        return {"deployment": self.deployment, "endpoint": self.way_out.endpoint, "request_id": request_id}
