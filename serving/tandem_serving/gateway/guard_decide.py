"""May this request leave the premises? Pure: facts, a policy view and the time in, a verdict out.

The exchange calls ``decide`` for each attempt towards a cloud: before it has seen the body, and again with the body in
its hands. The checks run in the order in which they are written, and the first that does not hold names the denial; its
word is in the answer, the log and the metrics (docs/explanation/guard.md lists them). Nothing here opens anything:
whatever is missing, unknown or old denies.
"""

import hmac
from dataclasses import dataclass, field
from enum import StrEnum

from pydantic import SecretStr
from tandem_contract import data_class
from tandem_contract.documents import DeploymentPolicy, EndpointPolicy
from tandem_contract.headers import Reason

from tandem_serving.gateway.policy_board import PolicyView

MAY_LEAVE = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings")
"""The only paths that any cloud is asked for."""

_FROM_A_REPLICA = frozenset({Reason.OVERFLOW, Reason.ESCALATION})


class Word(StrEnum):
    """Why a request was denied: one word for log, metric and answer."""

    MALFORMED = "malformed"
    """The gateway's own headers are missing: not a request that Tandem's routes made."""

    UNKNOWN_DEPLOYMENT = "unknown_deployment"
    POLICY_STALE = "policy_stale"
    """The operator has not been heard of for longer than the limit."""

    UNKNOWN_ENDPOINT = "unknown_endpoint"
    NOT_CHOSEN = "not_chosen"
    """The deployment does not list this endpoint."""

    CREDENTIAL_MISSING = "credential_missing"
    DESTINATION = "destination"
    """The way that asks, the policy and the key were not made for one and the same place."""

    NAMESPACE = "namespace"
    """The endpoint does not accept this namespace."""

    KEPT_LOCAL = "kept_local"
    """The client asked for it with ``x-tandem-route``."""

    DATA_CLASS = "data_class"
    REGION = "region"
    TOKEN = "token"  # noqa: S105  a word, not a secret
    """A redirect that no replica of this deployment sent."""

    REASON = "reason"
    """The deployment does not allow leaving for this reason."""

    MODEL = "model"
    """The endpoint does not offer the model that the deployment maps to."""

    PATH = "path"
    REPEATED = "repeated"
    """This endpoint has already been asked for the same request."""

    BODY = "body"
    """Not a JSON object with a model. Decided by the exchange, when the body has come."""

    CONTEXT = "context"
    """Longer than the endpoint's model takes. Decided by the exchange, when the body has come."""

    BUSY = "busy"
    """Too many large bodies, or too many requests to this endpoint, at once. Decided by the exchange."""

    ERROR = "error"
    """The guard itself failed. Decided by the exchange."""


@dataclass(frozen=True)
class RequestFacts:
    """What the guard knows of an attempt before its body: values of headers as they came, None = absent."""

    endpoint: str
    """From the listener's own configuration, never from a header."""

    destination: str
    """Digest of the place that this listener leads to, from there as well; empty = it does not say."""

    deployment: str | None
    method: str
    path: str
    """With the app's prefix in front, and the query if there is one."""

    hop: str | None
    """The gateway's id of this request, the same for every attempt on one way through it."""

    repeated: bool = False
    """Whether this endpoint was asked before with the same hop."""

    token: str | None = field(default=None, repr=False)
    reason: str | None = None
    data_class: str | None = None
    route: str | None = None


@dataclass(frozen=True)
class Send:
    """The request may leave, like this."""

    deployment: str
    endpoint: str
    reason: Reason
    model: str
    """What the body's model becomes."""

    context_tokens: int
    """What that model takes, prompt and answer together."""

    authority: str
    path: str
    authorization: SecretStr


@dataclass(frozen=True)
class Deny:
    """The request stays; the message is for the client and has nothing secret in it."""

    word: Word
    message: str


class _Denied(Exception):  # noqa: N818  control flow inside this module, not an error
    def __init__(self, word: Word, message: str) -> None:
        super().__init__(word)
        self.denial = Deny(word, message)


def decide(request: RequestFacts, view: PolicyView, *, now: float, limit_seconds: float) -> Send | Deny:
    """Return the verdict for one attempt. ``now`` is on the clock of ``view.fresh_at``."""
    try:
        deployment = _deployment(request, view)
        _check_fresh(view, now, limit_seconds)
        endpoint = _endpoint(request, view)
        model = _chosen_model(deployment, endpoint)
        authorization = _authorization(request, endpoint, view)
        _check_where(request, deployment, endpoint)
        reason = _reason(request, deployment, view)
        path = _path(request, deployment, endpoint, model)
    except _Denied as denied:
        return denied.denial
    return Send(
        deployment=deployment.deployment,
        endpoint=endpoint.endpoint,
        reason=reason,
        model=model,
        context_tokens=endpoint.models[model],
        authority=endpoint.authority,
        path=path,
        authorization=authorization,
    )


def _deployment(request: RequestFacts, view: PolicyView) -> DeploymentPolicy:
    if not (request.deployment and request.hop and request.endpoint):
        raise _Denied(Word.MALFORMED, "the request did not come through the gateway's routes")
    policy = view.deployments.get(request.deployment)
    if policy is None:
        raise _Denied(Word.UNKNOWN_DEPLOYMENT, f"no policy for {request.deployment} is known")
    return policy


def _check_fresh(view: PolicyView, now: float, limit_seconds: float) -> None:
    if view.fresh_at is None:
        raise _Denied(Word.POLICY_STALE, "the operator has not been heard of yet")
    if now - view.fresh_at > limit_seconds:
        raise _Denied(Word.POLICY_STALE, f"the operator has not been heard of for more than {limit_seconds:g} seconds")


def _endpoint(request: RequestFacts, view: PolicyView) -> EndpointPolicy:
    policy = view.endpoints.get(request.endpoint)
    if policy is None:
        raise _Denied(Word.UNKNOWN_ENDPOINT, f"no policy for cloud endpoint {request.endpoint} is known")
    return policy


def _chosen_model(deployment: DeploymentPolicy, endpoint: EndpointPolicy) -> str:
    for cloud in deployment.clouds:
        if cloud.endpoint == endpoint.endpoint:
            return cloud.model
    raise _Denied(Word.NOT_CHOSEN, f"{deployment.deployment} does not use cloud endpoint {endpoint.endpoint}")


def _authorization(request: RequestFacts, endpoint: EndpointPolicy, view: PolicyView) -> SecretStr:
    credential = view.credentials.get(endpoint.endpoint)
    if credential is None or not credential.authorization:
        raise _Denied(Word.CREDENTIAL_MISSING, f"cloud endpoint {endpoint.endpoint} has no key")
    if not request.destination or {endpoint.destination, credential.destination} != {request.destination}:
        # An edit of the endpoint is on its way, or Envoy refused its half: neither data nor key goes to a mixture.
        raise _Denied(Word.DESTINATION, f"way, policy and key of cloud endpoint {endpoint.endpoint} differ in place")
    return credential.authorization


def _check_where(request: RequestFacts, deployment: DeploymentPolicy, endpoint: EndpointPolicy) -> None:
    """Whether this data may be at that place."""
    namespace = deployment.deployment.partition("/")[0]
    if namespace not in endpoint.namespaces:
        raise _Denied(Word.NAMESPACE, f"cloud endpoint {endpoint.endpoint} does not accept namespace {namespace}")
    if request.route is not None:
        # Any value: a client that asks for something we do not know is not answered with the opposite.
        raise _Denied(Word.KEPT_LOCAL, "the client keeps this request local")
    asked = data_class.from_header(request.data_class, floor=deployment.data_class)
    if asked > endpoint.max_data_class:
        raise _Denied(
            Word.DATA_CLASS,
            f"data class {asked} is above {endpoint.max_data_class}, the most that {endpoint.endpoint} may see",
        )
    if deployment.regions and endpoint.region not in deployment.regions:
        raise _Denied(Word.REGION, f"region {endpoint.region} is not among those of {deployment.deployment}")


def _reason(request: RequestFacts, deployment: DeploymentPolicy, view: PolicyView) -> Reason:
    """Why it leaves: what the replica says, when it proves that it is one; else what the gateway can know itself."""
    if request.token is None and request.reason is None:
        ready = view.ready_replicas.get(deployment.deployment, 0)
        reason = Reason.FAILOVER if ready > 0 else Reason.BRIDGE
    else:
        _check_token(request.token, deployment)
        reason = _said(request.reason)
    if reason not in deployment.when:
        raise _Denied(Word.REASON, f"{deployment.deployment} does not allow leaving for {reason}")
    return reason


def _check_token(token: str | None, deployment: DeploymentPolicy) -> None:
    given, own = (token or "").encode(errors="surrogateescape"), deployment.token.encode()
    if not own or not hmac.compare_digest(given, own):
        raise _Denied(Word.TOKEN, f"the redirect did not come from a replica of {deployment.deployment}")


def _said(reason: str | None) -> Reason:
    if reason not in _FROM_A_REPLICA:
        raise _Denied(Word.REASON, "a replica gives overflow or escalation as its reason")
    return Reason(reason)


def _path(request: RequestFacts, deployment: DeploymentPolicy, endpoint: EndpointPolicy, model: str) -> str:
    """Return the path at the provider. The query stays here: none of these paths has one that means anything."""
    if model not in endpoint.models:
        raise _Denied(Word.MODEL, f"cloud endpoint {endpoint.endpoint} does not offer {model}")
    path, _, _ = request.path.partition("?")
    bare = path.removeprefix(deployment.prefix)
    if request.method != "POST" or bare not in MAY_LEAVE or path != deployment.prefix + bare:
        raise _Denied(Word.PATH, "only chat completions, completions and embeddings may leave")
    if request.repeated:
        raise _Denied(Word.REPEATED, f"cloud endpoint {endpoint.endpoint} was asked already")
    return endpoint.base_path + bare.removeprefix("/v1")
