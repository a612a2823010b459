"""The internal CA and the certificates between operator and gateways: Secret data and ``now`` in, Secret data out.

Keys are drawn here, and nothing is read or stored. ``internal_secrets`` does that: when it begins to lead, and then
every ``certificates_seconds``, the leader reads the Secrets ``tandem-internal`` (``INTERNAL_SECRET``) and
``tandem-gateway-tls`` (``GATEWAY_SECRET``) in its own namespace and calls

    pki = plan_pki(internal, gateway, server=pki.server or None, names=config.xds_names, now=now)

with the decoded ``data`` of each (``None`` = there is no such Secret). Then
    ``pki.internal``, ``pki.gateway``   what each Secret must hold, whole; equal to what was read = nothing to write
    ``pki.server``                      for ``Publisher.start`` and ``Publisher.use``
    ``pki.redirect_key``                the secret behind redirect tokens; made once, never rotated here
``tandem-internal`` is written first, with the resourceVersion that was read, and nothing is used before it was written:
of two that made a CA at once (a leader that does not know yet that it is none), one gets a conflict and plans again. A
follower has no part in it. ``tandem-gateway-tls`` (``tls.crt``, ``tls.key``, ``ca.crt``) is mounted into gateway pods.

Rotation: a leaf is renewed when a third of its life is left. A CA is followed by a new one when 60 days are left: first
it is only trusted, a day later it signs, and the old one is trusted until it ends, so that no connection ever fails.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from tandem_contract.identity import OPERATOR_NAME

from tandem_operator.certificates import Issuer, is_good, issued, load_issuer, mint_ca, mint_leaf
from tandem_operator.errors import Hold

INTERNAL_SECRET: Final = "tandem-internal"  # noqa: S105  a Secret's name
GATEWAY_SECRET: Final = "tandem-gateway-tls"  # noqa: S105  a Secret's name

CA_SUCCESSION: Final = timedelta(days=60)
"""A CA with less left than this gets a successor."""

CA_PROBATION: Final = timedelta(days=1)
"""How long a successor is only trusted, so that every gateway has it before it signs anything."""


@dataclass(frozen=True, slots=True)
class ServerTls:
    """What the delta-ADS server presents, and whom it lets in."""

    certificate_pem: bytes
    key_pem: bytes
    client_ca_pem: bytes

    def __repr__(self) -> str:
        return "ServerTls(…)"


@dataclass(frozen=True, slots=True)
class Pki:
    """The outcome of ``plan_pki``."""

    internal: Mapping[str, bytes]
    gateway: Mapping[str, bytes]
    server: ServerTls

    @property
    def redirect_key(self) -> bytes:
        return self.internal["redirect.key"]

    def __repr__(self) -> str:
        return "Pki(…)"


@dataclass(frozen=True, slots=True)
class _Authority:
    """The CA that signs, the one that will, and the one that did."""

    current: Issuer
    successor: Issuer | None
    retired_pem: bytes
    """Certificate of the CA before; empty when there is none."""

    @property
    def bundle(self) -> bytes:
        """Everything that is trusted."""
        return (
            self.current.certificate_pem
            + (self.successor.certificate_pem if self.successor else b"")
            + self.retired_pem
        )


def plan_pki(
    internal: Mapping[str, bytes] | None,
    gateway: Mapping[str, bytes] | None,
    *,
    server: ServerTls | None,
    names: Sequence[str],
    now: datetime,
) -> Pki:
    """Return what both Secrets must hold and what the server presents, keeping all that is still good.

    ``names`` are the DNS names and IP addresses under which gateways find the operator. Raises ``Hold`` when
    ``tandem-internal`` exists but cannot be read: a CA is never replaced by accident.
    """
    authority = _succeed(_load(internal) if internal else _Authority(mint_ca(now), None, b""), now)
    redirect_key = (internal or {}).get("redirect.key") or secrets.token_bytes(32)
    server_names = tuple(dict.fromkeys((OPERATOR_NAME, *names)))
    return Pki(
        internal=_dump(authority, redirect_key),
        gateway=_plan_gateway(authority, gateway or {}, now),
        server=_plan_server(authority, server, server_names, now),
    )


def _succeed(authority: _Authority, now: datetime) -> _Authority:
    """Move the authority on to where it has to be at ``now``."""
    current, successor, retired = authority.current, authority.successor, authority.retired_pem
    if current.certificate.not_valid_after_utc <= now:
        return _Authority(mint_ca(now), None, b"")  # everything that it signed is dead as well
    if successor is None and current.certificate.not_valid_after_utc - now < CA_SUCCESSION:
        successor = mint_ca(now)
    if successor is not None and now - issued(successor.certificate) >= CA_PROBATION:
        current, successor, retired = successor, None, current.certificate_pem
    if retired and x509.load_pem_x509_certificate(retired).not_valid_after_utc <= now:
        retired = b""
    return _Authority(current, successor, retired)


def _plan_gateway(authority: _Authority, existing: Mapping[str, bytes], now: datetime) -> Mapping[str, bytes]:
    certificate, key = existing.get("tls.crt", b""), existing.get("tls.key", b"")
    if not is_good(certificate, key, authority.current, names=(), now=now):
        certificate, key = mint_leaf(authority.current, "tandem-gateway", ExtendedKeyUsageOID.CLIENT_AUTH, (), now)
    return {"ca.crt": authority.bundle, "tls.crt": certificate, "tls.key": key}


def _plan_server(authority: _Authority, existing: ServerTls | None, names: Sequence[str], now: datetime) -> ServerTls:
    certificate, key = (existing.certificate_pem, existing.key_pem) if existing else (b"", b"")
    if not is_good(certificate, key, authority.current, names=names, now=now):
        certificate, key = mint_leaf(authority.current, "tandem-operator", ExtendedKeyUsageOID.SERVER_AUTH, names, now)
    return ServerTls(certificate, key, authority.bundle)


def _dump(authority: _Authority, redirect_key: bytes) -> Mapping[str, bytes]:
    data = {
        "ca.crt": authority.current.certificate_pem,
        "ca.key": authority.current.key_pem,
        "redirect.key": redirect_key,
    }
    if authority.successor:
        data |= {"successor.crt": authority.successor.certificate_pem, "successor.key": authority.successor.key_pem}
    if authority.retired_pem:
        data["retired.crt"] = authority.retired_pem
    return data


def _load(data: Mapping[str, bytes]) -> _Authority:
    try:
        current = load_issuer(data["ca.crt"], data["ca.key"])
        successor = load_issuer(data["successor.crt"], data["successor.key"]) if "successor.crt" in data else None
        retired = data.get("retired.crt", b"")
        if retired:
            x509.load_pem_x509_certificate(retired)
    except Exception as error:
        raise Hold(
            f"Secret {INTERNAL_SECRET} cannot be read ({type(error).__name__}: {error}). Restore it, or delete it to"
            " have a new CA made: gateways then reconnect when they have their new certificate."
        ) from error
    return _Authority(current, successor, retired)
