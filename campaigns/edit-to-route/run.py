"""From an edit of a ModelDeployment's spec to the first request that takes the new route. See README.md."""

import argparse
import http.client
import json
import ssl
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from support.builders import a_cloud_endpoint, a_model_deployment
from support.wait import eventually
from tandem_lab import campaign
from tandem_lab.control_plane import ControlPlane
from tandem_lab.operator import NAMESPACE
from tandem_lab.stack import CLOUD_MODEL, Stack

HERE = Path(__file__).parent
TEAM = "team"
CLOUDS = ("cloud-a", "cloud-b")
GIVE_UP_SECONDS = 120
REST_SECONDS = 900


class Api:
    """The API server over one kept connection, as a GitOps controller has: kubectl would add its own start."""

    def __init__(self, control_plane: ControlPlane) -> None:
        address = urlsplit(control_plane.url)
        token = json.loads(control_plane.kubeconfig.read_text())["users"][0]["user"]["token"]
        trust = ssl.create_default_context(cafile=str(control_plane.certificate_authority))
        trust.check_hostname = False
        assert address.hostname
        self._connection = http.client.HTTPSConnection(address.hostname, address.port, context=trust)
        self._headers = {"authorization": f"Bearer {token}", "content-type": "application/merge-patch+json"}

    def edit(self, spec: dict[str, Any]) -> None:
        path = f"/apis/tandem.dev/v1alpha1/namespaces/{TEAM}/modeldeployments/edited"
        self._connection.request("PATCH", path, json.dumps({"spec": spec}), self._headers)
        answer = self._connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body


class Client:
    """Asks the gateway over one kept connection."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        assert address.hostname
        self._connection = http.client.HTTPConnection(address.hostname, address.port)

    def destination(self, model: str, **more: Any) -> str | None:
        """Return who answered, None when it was no success."""
        body = {"model": model, "messages": [{"role": "user", "content": "one word"}], **more}
        self._connection.request("POST", "/v1/chat/completions", json.dumps(body), {"content-type": "application/json"})
        answer = self._connection.getresponse()
        answer.read()
        return answer.headers["x-tandem-destination"] if answer.status == 200 else None

    def until(self, destination: str, model: str, **more: Any) -> None:
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while (found := self.destination(model, **more)) != destination:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{model} is answered by {found} instead of {destination}")
            time.sleep(0.001)


def install(stack: Stack) -> None:
    """Create one deployment with a local replica and two clouds."""
    plane = stack.control_plane
    plane.kubectl("create", "namespace", TEAM)
    key = {"api-key": stack.cloud.key, "ca.crt": stack.cloud.ca_pem}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "cloud", "namespace": NAMESPACE}}
    plane.apply({**secret, "stringData": key})
    spec = {
        "url": stack.cloud.url,
        "tls": {"caSecretRef": {"name": "cloud", "key": "ca.crt"}},
        "credentials": {"secretRef": {"name": "cloud", "key": "api-key"}},
        "models": [{"name": CLOUD_MODEL, "contextTokens": 100000}],
    }
    plane.apply(*(a_cloud_endpoint(name, spec=spec) for name in CLOUDS))
    plane.apply(deployment("edited", "lab", stack.model_source))


def deployment(name: str, ray: str, source: str) -> dict[str, Any]:
    spec = {
        "model": {"source": source, "names": [name]},
        "local": {"ray": {"external": ray}, "resources": {"cpu": "100m"}},
        "cloud": {"endpoints": [{"name": CLOUDS[0], "model": CLOUD_MODEL}]},
    }
    return a_model_deployment(name, namespace=TEAM, spec=spec)


def crowd(stack: Stack, many: int) -> None:
    """Create the others, on a Ray cluster that the operator does not know: routes by the bridge, no local replica."""
    others = [f"other-{number}" for number in range(1, many)]
    for at in range(0, len(others), 100):
        stack.control_plane.apply(*(deployment(name, "nowhere", stack.model_source) for name in others[at : at + 100]))
    client = Client(stack.url)
    for name in others:
        client.until(f"cloud/{CLOUDS[0]}", name)


def until_at_rest(stack: Stack) -> None:
    """Return when nothing waits in the operator's queue, for 5 s on end: what the creations set off is done."""
    quiet_since = time.monotonic()
    deadline = quiet_since + REST_SECONDS
    while time.monotonic() - quiet_since < 5:
        if stack.operator.metric("tandem_workqueue_depth") != 0:
            quiet_since = time.monotonic()
        if time.monotonic() > deadline:
            raise TimeoutError(f"the operator's queue was not empty within {REST_SECONDS} s")
        time.sleep(0.2)


def measure(stack: Stack, edits: int, first: int) -> dict[str, Any]:
    api, client = Api(stack.control_plane), Client(stack.url)
    names, clouds = [], []
    for turn in range(first, first + edits):
        time.sleep(0.5)  # what the last edit set off has come to rest
        began = time.monotonic()
        api.edit({"model": {"names": ["edited", f"name-{turn}"]}})
        client.until("local", f"name-{turn}")
        names.append((time.monotonic() - began) * 1000)
        time.sleep(0.5)
        to = CLOUDS[(turn + 1) % 2]
        began = time.monotonic()
        api.edit({"cloud": {"endpoints": [{"name": to, "model": CLOUD_MODEL}]}})
        client.until(f"cloud/{to}", "edited", switches={"status": 500})
        clouds.append((time.monotonic() - began) * 1000)
    return {
        "new_name_milliseconds": campaign.percentiles(names),
        "changed_cloud_endpoint_milliseconds": campaign.percentiles(clouds),
        "in_order": {"new_name": [round(one) for one in names], "changed_cloud": [round(one) for one in clouds]},
    }


def run(edits: int, many: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="tandem-") as folder:
        settings = {"replica_import_path": "tandem_lab.small_model:build"}
        with Stack(Path(folder), model_source="file:///nowhere/switches.json", operator_settings=settings) as stack:
            install(stack)
            client = Client(stack.url)
            eventually(lambda: client.destination("edited") == "local", 180)
            alone = measure(stack, edits, 0)
            began = time.monotonic()
            crowd(stack, many)
            at_once = measure(stack, 1, edits)
            until_at_rest(stack)
            rest = round(time.monotonic() - began, 1)
            return {
                "with_1_deployment": alone,
                f"seconds_to_create_{many}_deployments_and_rest": rest,
                f"right_after_{many}_were_created": at_once,
                f"with_{many}_deployments": measure(stack, edits, edits + 1),
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edits", type=int, default=30, help="of each kind")
    parser.add_argument("--deployments", type=int, default=1000)
    options = parser.parse_args()
    facts = campaign.circumstances("make campaigns NAME=edit-to-route")
    campaign.write(HERE, facts, run(options.edits, options.deployments))


if __name__ == "__main__":
    main()
