"""The tour: what a user would do first, and what must come of it.

A generator, because some commands can only be written at their moment: which process to kill, how many requests the
cloud had seen before.
"""

import json
from collections.abc import Iterator
from typing import Protocol

from tandem_lab.demo.overlay import CLOUD, MODEL
from tandem_lab.demo.steps import Check, Step, header, prints, prints_nothing, prints_times, status, succeeds

_NAMESPACE = "hello"
_SETTLES_SECONDS = 30  # a route, a health check or a status that follows what was just done
_STARTS_SECONDS = 600  # vLLM loads and warms up: about 90 on two cores in peace
_QUESTION = "What is the capital of France?"
_ASK_RAY = 'curl -s -H "Authorization: Bearer $RAY_TOKEN" $RAY_URL/api/serve/applications/'
_LIST_PROCESSES = f'{_ASK_RAY} | grep -o \'"state": "RUNNING", "pid": [0-9]*\''
_GENERATIONS_AND_CONDITIONS = "{.metadata.generation} {.status.observedGeneration} {.status.conditions[*].type}"
_COUNT_SENT = "curl -s $CLOUD_ADMIN_URL/requests | grep -o '\"path\"' | wc -l"

LOCAL: tuple[Check, ...] = (status(200), header("x-tandem-destination", "local"))
BY_CLOUD: tuple[Check, ...] = (status(200), header("x-tandem-destination", f"cloud/{CLOUD}"))


class Place(Protocol):
    """What a command needs to know at its moment."""

    def replica_pid(self) -> int:
        """Return the process of the deployment's only replica."""

    def requests_sent(self) -> int:
        """Return how many requests the cloud stand-in has received."""


def tour(place: Place) -> Iterator[Step]:
    """Yield the steps in order; each must be taken before the next is asked for."""
    yield from starting()
    yield from answered_locally()
    yield from replica_gone(place)
    yield from edited(place)
    yield from deleted()


def starting() -> Iterator[Step]:
    yield Step("Apply the example", apply(), (succeeds, prints(f"modeldeployment.*/{MODEL} (created|configured)")))
    yield Step("It is Ready at once: the cloud bridges while the model loads", wait_for("Ready", 120), (succeeds,))
    yield Step(
        "LOCAL says that no replica is ready yet",
        f"kubectl get mdep -n {_NAMESPACE}",
        (succeeds, prints(rf"(?m)^{MODEL} .* True +Bridged +0 ")),
    )
    yield Step(
        "A chat is answered by the cloud: bridge",
        chat(),
        (*BY_CLOUD, header("x-tandem-reason", "bridge")),
        within_seconds=_SETTLES_SECONDS,
    )
    yield Step(
        "Wait for the local model (vLLM starts and loads Gemma)",
        wait_for("LocalAvailable", _STARTS_SECONDS),
        (succeeds,),
    )


def answered_locally() -> Iterator[Step]:
    yield Step(
        "A chat is answered by the local model", chat(), (*LOCAL, prints("Paris")), within_seconds=_SETTLES_SECONDS
    )
    yield Step(
        "So is a stream, token by token",
        chat(stream=True),
        (*LOCAL, prints_times("data: ", 3), prints(r"data: \[DONE\]")),
    )


def replica_gone(place: Place) -> Iterator[Step]:
    pid = place.replica_pid()
    yield Step("The replica's process dies", f"kill -9 {pid}", (succeeds,))
    yield Step(
        "The next chat is answered by the cloud, inside the same request",
        chat(),
        (*BY_CLOUD, header("x-tandem-reason", "failover", "bridge")),
    )
    sent = place.requests_sent()
    restricted = chat(headers={"x-tandem-data-class": "Restricted"})
    yield Step("A Restricted one may not leave: an honest 503", restricted, (status(503), prints('"error"')))
    yield Step(
        f"Nothing was sent out: the cloud has seen {sent} requests, as before", _COUNT_SENT, (prints(f"^{sent}$"),)
    )
    yield Step("The replica comes back, and answers are local again", chat(), (*LOCAL,), within_seconds=_STARTS_SECONDS)


def edited(place: Place) -> Iterator[Step]:
    pid = place.replica_pid()
    patch = json.dumps({"spec": {"model": {"names": [MODEL, "greeter"]}}})
    yield Step(
        "Give the model a second name",
        f"kubectl patch mdep -n {_NAMESPACE} {MODEL} --type merge -p '{patch}'",
        (succeeds,),
    )
    yield Step("The new route is live", chat("greeter"), LOCAL, within_seconds=_SETTLES_SECONDS)
    yield Step(
        "Nothing of the edit is on its way any more",
        f"kubectl get mdep -n {_NAMESPACE} {MODEL} -o jsonpath='{_GENERATIONS_AND_CONDITIONS}'",
        (prints(r"^(\d+) \1 (?!.*Reconciling)"),),
        within_seconds=120,  # Ray tells of no replica at all for some seconds after every change
    )
    yield Step(
        f"Nothing restarted: process {pid} is the replica, as before",
        _LIST_PROCESSES,
        (prints(rf'^"state": "RUNNING", "pid": {pid}\s*$'),),  # Ray goes on listing the one that was killed before
    )


def deleted() -> Iterator[Step]:
    yield Step("Delete it", f"kubectl delete mdep -n {_NAMESPACE} {MODEL} --timeout=180s", (succeeds,))
    leftovers = f"kubectl get all,secrets,configmaps,serviceaccounts -n {_NAMESPACE} -o name"
    yield Step(
        "No child is left in the namespace",
        f"{leftovers} | grep -v -e configmap/kube-root-ca.crt -e serviceaccount/default",
        (prints_nothing,),
        within_seconds=_SETTLES_SECONDS,
    )
    yield Step(
        "No application in Ray",
        f"{_ASK_RAY} | grep -o '\"applications\": {{[^}}]*}}'",
        (prints(r'^"applications": \{\}$'),),
        within_seconds=_SETTLES_SECONDS,
    )
    yield Step(
        "No route in the gateway",
        chat(),
        (status(404), header("x-tandem-destination", "gateway")),
        within_seconds=_SETTLES_SECONDS,
    )
    yield Step(
        "And no model in its list",
        "curl -si $URL/models",
        (status(200), prints(r'"data": ?\[\]')),
        within_seconds=_SETTLES_SECONDS,
    )


def apply() -> str:
    return "kubectl apply -k .demo/hello"


def wait_for(condition: str, seconds: int) -> str:
    return f"kubectl wait -n {_NAMESPACE} mdep/{MODEL} --for=condition={condition} --timeout={seconds}s"


def chat(model: str = MODEL, *, stream: bool = False, headers: dict[str, str] | None = None) -> str:
    """Return the curl command of a short chat."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": _QUESTION}],
        "max_tokens": 12,
        "temperature": 0,
        "stop": "\n",
    }
    if stream:
        body["stream"] = True
    given = {"content-type": "application/json", **(headers or {})}
    flags = " ".join(f"-H '{name}: {value}'" for name, value in given.items())
    return f"curl -si{'N' if stream else ''} $URL/chat/completions {flags} -d '{json.dumps(body)}'"
