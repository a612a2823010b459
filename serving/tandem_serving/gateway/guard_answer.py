"""What the client may see of a cloud's answer. Pure; called by the servicer when the answer's headers come.

A fault of the request is the client's to know. Anything that says something about our account, our keys or our mapping
is not: it becomes a 502 without the provider's words, so that Envoy goes on to the next destination.
"""

from collections.abc import Iterable
from typing import Final

PASSED_HEADERS: Final = frozenset(
    {"content-type", "content-length", "content-encoding", "cache-control", "date", "retry-after", "transfer-encoding"}
)
"""All that goes on: the rest tells of the provider's house, our account, or pretends to be the gateway."""

_REQUEST_FAULTS: Final = frozenset({400, 413, 422})
_TOO_MANY_REQUESTS: Final = 429


def passes(status: int) -> bool:
    """Return whether an answer goes on as it is: a success, a fault of the request, or one that Envoy tries again."""
    return 200 <= status < 300 or status in _REQUEST_FAULTS or status == _TOO_MANY_REQUESTS or 500 <= status < 600


def refusal(status: int) -> str:
    """Return what is said instead of an answer that does not pass."""
    if 300 <= status < 400:
        return "the cloud endpoint answered with a redirect, which is not followed"
    if status in (401, 402, 403):
        return "the cloud endpoint refuses the gateway's credentials"
    return f"the cloud endpoint refused the gateway's request with status {status}"


def dropped(names: Iterable[str], *, shortened: bool) -> list[str]:
    """Return which of an answer's headers do not go on; its length neither when something of it is hidden."""
    kept = PASSED_HEADERS - {"content-length"} if shortened else PASSED_HEADERS
    return sorted({name for name in names if not name.startswith(":") and name not in kept})
