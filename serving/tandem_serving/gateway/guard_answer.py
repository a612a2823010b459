"""What the client may see of a cloud's answer. Pure; called when the answer's headers come.

What is no success becomes a 502 without the provider's words, so that Envoy goes on to the next destination: a local
replica in the end. 429 and 5xx are left as they are, for Envoy goes on by itself and keeps the connection. What a cloud
says against the request itself is the client's to know when nobody else is left (``guard_onward``).
"""

from collections.abc import Iterable
from typing import Final

PASSED_HEADERS: Final = frozenset(
    {"content-type", "content-length", "content-encoding", "cache-control", "date", "retry-after", "transfer-encoding"}
)
"""All that goes on: the rest tells of the provider's house, our account, or pretends to be the gateway."""

REQUEST_FAULTS: Final = frozenset({400, 413, 422})
_TOO_MANY_REQUESTS: Final = 429


def passes(status: int) -> bool:
    """Return whether an answer goes on whoever is left: a success, or one after which Envoy tries again."""
    return 200 <= status < 300 or status == _TOO_MANY_REQUESTS or 500 <= status < 600


def refusal(status: int) -> str:
    """Return what is said instead of an answer that does not pass."""
    if 300 <= status < 400:
        return "the cloud endpoint answered with a redirect, which is not followed"
    if status in (401, 402, 403):
        return "the cloud endpoint refuses the gateway's credentials"
    if status in REQUEST_FAULTS:
        return f"the cloud endpoint finds fault with the request (status {status})"
    return f"the cloud endpoint refused the gateway's request with status {status}"


def dropped(names: Iterable[str], *, shortened: bool) -> list[str]:
    """Return which of an answer's headers do not go on; its length neither when something of it is hidden."""
    kept = PASSED_HEADERS - {"content-length"} if shortened else PASSED_HEADERS
    return sorted({name for name in names if not name.startswith(":") and name not in kept})
