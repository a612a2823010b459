"""Where an endpoint's data goes, as one short word. Used for Envoy's resources and for the guard's documents alike.

An edited CloudEndpoint reaches Envoy and the guard at different moments, and Envoy may refuse its half for good. Each
half carries the word of what it was made from, so that what is allowed for one place, and its key, never meet the way
to another.
"""

import hashlib
import json
from typing import Final
from urllib.parse import urlsplit

HTTPS: Final = 443
_DIGITS: Final = 16


def destination_digest(url: str, *, region: str, ca_pem: str | None) -> str:
    """Return 16 hex digits that stand for the place behind ``url`` and the law that it lies under.

    ``ca_pem`` is what the Secret held, None = the system's roots. Two spellings of one address are one place.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    place = {
        "scheme": parts.scheme.lower(),
        "host": host,
        "port": parts.port or HTTPS,
        "base_path": parts.path.rstrip("/"),
        "server_name": host,
        "region": region,
        "ca_pem": ca_pem,
    }
    canonical = json.dumps(place, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:_DIGITS]
