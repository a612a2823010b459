"""Is anybody left who could answer when a cloud finds fault with the request itself? Pure; called once per such answer.

Another cloud may take what this one refuses (a longer context, one more parameter), and so may a replica: as long as
one is left, the client does not hear of it. When nobody is left, the cloud's own words are the honest answer: a 503 in
their place would be tried again and again, and never be better.
"""

from dataclasses import replace

from tandem_serving.gateway.guard_decide import RequestFacts, Send, decide
from tandem_serving.gateway.policy_board import PolicyView


def nobody_is_left(request: RequestFacts, view: PolicyView, *, now: float, limit_seconds: float) -> bool:
    """Return whether neither a replica is ready nor a later cloud of the deployment may be asked.

    A replica that Envoy knows and cannot reach counts as ready: then the client gets a 503 after all, until the
    operator has withdrawn it.
    """
    if view.ready_replicas.get(request.deployment or "", 0) > 0:
        return False
    later = (_towards(request, endpoint, view) for endpoint in _later_clouds(request, view))
    return not any(isinstance(decide(one, view, now=now, limit_seconds=limit_seconds), Send) for one in later)


def _later_clouds(request: RequestFacts, view: PolicyView) -> list[str]:
    """Return the clouds that Envoy asks after this one."""
    policy = view.deployments.get(request.deployment or "")
    names = [cloud.endpoint for cloud in policy.clouds] if policy else []
    return names[names.index(request.endpoint) + 1 :] if request.endpoint in names else []


def _towards(request: RequestFacts, endpoint: str, view: PolicyView) -> RequestFacts:
    policy = view.endpoints.get(endpoint)
    return replace(request, endpoint=endpoint, destination=policy.destination if policy else "", repeated=False)
