"""What a CloudEndpoint's Secrets give, and its status. Pure.

Secrets come in as they were read: ``None`` = not there, an ``Unread`` = nobody can tell.
``Reachable`` is not among the conditions: nobody can tell without sending something, and nothing is sent but requests.
No message names more of a Secret than its name and key.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Final

from cryptography import x509
from tandem_contract.documents import Credential

from tandem_operator import conditions
from tandem_operator.api.v1alpha1 import CloudEndpoint, CloudEndpointStatus, KeyRef, Raw
from tandem_operator.conditions import Finding
from tandem_operator.egress import policy
from tandem_operator.routing.destination import destination_digest

MAX_USED_BY: Final = 4096


class Unread(Enum):
    """Why there is no telling what is in a Secret, or whether there is one."""

    FORBIDDEN = auto()
    """The operator lacks the right."""

    FAILED = auto()
    """The API server gives no answer, or cannot decrypt it."""


Read = Raw | None | Unread

_UNREAD: Final[Mapping[Unread, str]] = {
    Unread.FORBIDDEN: conditions.SECRET_FORBIDDEN,
    Unread.FAILED: conditions.SECRET_UNREADABLE,
}


@dataclass(frozen=True, slots=True)
class Resolved:
    """What the Secrets gave."""

    destination: str
    """Digest of the place that the endpoint leads to with these certificates."""

    credential: Credential | None
    key: Finding
    """For ``CredentialsResolved``."""

    ca_pem: str | None
    """Certificates to trust; None = the system's, unless ``ca`` says that they are missing."""

    ca: Finding | None
    """What is wrong with the certificates; None = nothing."""

    @property
    def usable(self) -> bool:
        """Whether anything may be sent."""
        return self.credential is not None and self.ca is None

    @property
    def unread(self) -> Unread | None:
        """Why a Secret could not be read: nothing is known then, neither for nor against. None = all were."""
        said = {finding.reason for finding in (self.key, self.ca) if finding is not None}
        return next((why for why, reason in _UNREAD.items() if reason in said), None)


def resolve(endpoint: CloudEndpoint, *, key_secret: Read, ca_secret: Read) -> Resolved:
    """Return key and certificates of ``endpoint``; whatever is wrong with them, nothing is used instead."""
    spec, ca_pem, ca = endpoint.spec, None, None
    if spec.tls is not None:
        ca_pem, ca = _certificates(spec.tls.ca_secret_ref, ca_secret)
    destination = destination_digest(spec.url, region=spec.region, ca_pem=ca_pem)
    credential, key = _credential(endpoint, key_secret, destination)
    return Resolved(destination, credential, key, ca_pem, ca)


def make_status(
    endpoint: CloudEndpoint, resolved: Resolved, routes: Finding, *, used_by: list[str], now: datetime
) -> CloudEndpointStatus:
    """Return the whole status, transition times kept where nothing turned."""
    generation = endpoint.metadata.generation
    after = endpoint.status.conditions
    for type_, finding in (
        (conditions.READY, _ready(resolved, routes)),
        (conditions.CREDENTIALS_RESOLVED, resolved.key),
        (conditions.ROUTES_PROGRAMMED, routes),
    ):
        after = conditions.set_condition(after, type_, finding, generation=generation, now=now)
    after = conditions.drop_condition(after, conditions.STALLED)
    return CloudEndpointStatus(observed_generation=generation, conditions=after, used_by=tuple(used_by[:MAX_USED_BY]))


def _ready(resolved: Resolved, routes: Finding) -> Finding:
    if not resolved.key.true:
        return resolved.key
    if resolved.ca is not None:
        return resolved.ca
    if not routes.true:
        return Finding("False", routes.reason, routes.message)
    return Finding("True", conditions.ENDPOINT_AVAILABLE, "requests that policy allows can leave through it")


def _credential(endpoint: CloudEndpoint, secret: Read, destination: str) -> tuple[Credential | None, Finding]:
    value, missing = _value(secret, endpoint.spec.credentials.secret_ref)
    if missing is not None:
        return None, missing
    try:
        credential = policy.credential(endpoint.metadata.name, value, destination=destination)
    except ValueError as error:
        return None, Finding("False", conditions.KEY_UNUSABLE, str(error))
    return credential, Finding("True", conditions.RESOLVED, "the Secret holds a key")


def _certificates(ref: KeyRef, secret: Read) -> tuple[str | None, Finding | None]:
    value, missing = _value(secret, ref)
    if missing is not None:
        reason = missing.reason if isinstance(secret, Unread) else conditions.CERTIFICATE_MISSING
        return None, Finding("False", reason, f"spec.tls.caSecretRef: {missing.message}")
    try:
        x509.load_pem_x509_certificates(value)
        return value.decode("ascii"), None
    except ValueError:
        message = f"spec.tls.caSecretRef: key {ref.key} of Secret {ref.name} is not a certificate in PEM"
        return None, Finding("False", conditions.CERTIFICATE_MISSING, message)


def _value(secret: Read, ref: KeyRef) -> tuple[bytes, Finding | None]:
    if isinstance(secret, Unread):
        return b"", Finding("False", _UNREAD[secret], _why_unread(secret, ref))
    if secret is None:
        message = f"there is no Secret {ref.name} in the operator's namespace"
        return b"", Finding("False", conditions.SECRET_NOT_FOUND, message)
    try:
        return base64.b64decode(secret["data"][ref.key], validate=True), None
    except (KeyError, TypeError, binascii.Error):
        return b"", Finding("False", conditions.KEY_NOT_FOUND, f"Secret {ref.name} has no key {ref.key}")


def _why_unread(unread: Unread, ref: KeyRef) -> str:
    if unread is Unread.FORBIDDEN:
        why = (
            f"the operator may not read Secret {ref.name} in its own namespace: let its ServiceAccount get it, as the "
            "Role of the installation does"
        )
    else:
        why = f"the API server does not hand out Secret {ref.name} in the operator's namespace, and the log says why"
    return f"{why}. Until then what was last read for this spec stays in use"
