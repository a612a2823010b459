"""Keeps the internal CA and the gateways' certificate in two Secrets. Called by the leader; ``pki`` decides."""

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tandem_operator.api.v1alpha1 import Raw
from tandem_operator.clients.cluster import SECRETS, Cluster
from tandem_operator.pki import GATEWAY_SECRET, INTERNAL_SECRET, Pki, ServerTls, plan_pki


async def ensure_pki(cluster: Cluster, namespace: str, *, server: ServerTls | None, names: Sequence[str]) -> Pki:
    """Return certificates that are good for a while, after both Secrets hold their part of them.

    A conflict is a ``Retry``: another operator wrote first, and what was made here is thrown away.
    """
    internal = await cluster.get(SECRETS, namespace, INTERNAL_SECRET)
    gateway = await cluster.get(SECRETS, namespace, GATEWAY_SECRET)
    pki = plan_pki(_decoded(internal), _decoded(gateway), server=server, names=names, now=datetime.now(UTC))
    await _write(cluster, namespace, INTERNAL_SECRET, internal, pki.internal)
    await _write(cluster, namespace, GATEWAY_SECRET, gateway, pki.gateway)
    return pki


async def _write(cluster: Cluster, namespace: str, name: str, before: Raw | None, data: Mapping[str, bytes]) -> None:
    if _decoded(before) == dict(data):
        return
    encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    if before is not None:
        await cluster.replace(SECRETS, {**before, "data": encoded})
        return
    metadata = {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/managed-by": "tandem"}}
    body: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": "Opaque",
        "data": encoded,
    }
    await cluster.create(SECRETS, body)


def _decoded(secret: Raw | None) -> dict[str, bytes] | None:
    if secret is None:
        return None
    return {key: base64.b64decode(value) for key, value in (secret.get("data") or {}).items()}
