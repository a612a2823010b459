"""ModelDeployment and CloudEndpoint → the guard's documents. Called by the reconciler; decides nothing per request."""

from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from pydantic import SecretStr
from tandem_contract.data_class import DataClass
from tandem_contract.documents import CloudChoice, Credential, DeploymentPolicy, EndpointPolicy
from tandem_contract.headers import Reason

from tandem_operator import names as naming
from tandem_operator.api.v1alpha1 import CloudEndpoint, ModelDeployment, ObjectMeta, When
from tandem_operator.egress.selector import matches

_REASONS = {When.OVERFLOW: Reason.OVERFLOW, When.FAILOVER: Reason.FAILOVER, When.BRIDGE: Reason.BRIDGE}


def deployment_policy(
    deployment: ModelDeployment,
    *,
    names: Iterable[str],
    prefix: str,
    token: str,
    endpoints: Mapping[str, CloudEndpoint],
) -> DeploymentPolicy:
    """Return what requests for ``deployment`` may do.

    ``names`` are the model names that were granted to it, ``endpoints`` the CloudEndpoints that exist. One that is
    named and does not exist is left out: the guard and the compiled routes agree on where a request may go.
    """
    meta, spec = deployment.metadata, deployment.spec
    return DeploymentPolicy(
        deployment=naming.key(meta.namespace, meta.name),
        names=tuple(names),
        created_seconds=_created_seconds(meta),
        prefix=prefix,
        token=token,
        data_class=spec.policy.data_class,
        regions=spec.policy.regions,
        when=tuple(_REASONS[when] for when in spec.cloud.when),
        clouds=tuple(
            CloudChoice(endpoint=choice.name, model=choice.model)
            for choice in spec.cloud.endpoints
            if choice.name in endpoints
        ),
    )


def deny_all(meta: ObjectMeta, *, names: Iterable[str], prefix: str, token: str) -> DeploymentPolicy:
    """Return the policy of a deployment that exists, and of which nothing may leave."""
    return DeploymentPolicy(
        deployment=naming.key(meta.namespace, meta.name),
        names=tuple(names),
        created_seconds=_created_seconds(meta),
        prefix=prefix,
        token=token,
        data_class=DataClass.RESTRICTED,
    )


def endpoint_policy(
    endpoint: CloudEndpoint, *, destination: str, namespaces: Mapping[str, Mapping[str, str]], users: Iterable[str]
) -> EndpointPolicy:
    """Return what ``endpoint`` accepts.

    ``destination`` is the digest of the place behind it, ``namespaces`` are the labels of every namespace that is
    known, ``users`` the deployments (``namespace/name``) that name the endpoint. A namespace whose labels are not known
    is not allowed.
    """
    spec = endpoint.spec
    using = {user.partition("/")[0] for user in users}
    allowed = sorted(n for n in using if n in namespaces and matches(spec.allowed_namespaces, namespaces[n]))
    return EndpointPolicy(
        endpoint=endpoint.metadata.name,
        destination=destination,
        authority=authority(spec.url),
        base_path=urlsplit(spec.url).path.rstrip("/"),
        region=spec.region,
        max_data_class=spec.max_data_class,
        namespaces=tuple(allowed),
        models={model.name: model.context_tokens for model in spec.models},
    )


def _created_seconds(meta: ObjectMeta) -> int:
    return int(meta.creation_timestamp.timestamp()) if meta.creation_timestamp else 0


def authority(url: str) -> str:
    """Return the Host header for ``url``: the port only when it is not https's own."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    return host if parts.port in (None, 443) else f"{host}:{parts.port}"


def credential(endpoint: str, key: bytes, *, destination: str) -> Credential:
    """Return the credential document for a key as it stands in a Secret; white space around it is dropped.

    It is good for ``destination`` alone: the digest of the place that the endpoint led to when the key was read.

    Raises ``ValueError``, without the key in it, for one that could not travel in a header.
    """
    text = key.decode("ascii", errors="replace").strip()
    if not text:
        raise ValueError(f"the key of CloudEndpoint {endpoint} is empty")
    if not all("!" <= letter <= "~" for letter in text):
        raise ValueError(f"the key of CloudEndpoint {endpoint} has characters that a header cannot carry")
    return Credential(endpoint=endpoint, destination=destination, authorization=SecretStr(f"Bearer {text}"))
