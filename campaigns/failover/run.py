"""What failover and overflow to a cloud add to asking the cloud itself, over TLS both ways. See README.md."""

import argparse
import http.client
import itertools
import json
import secrets
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from support.replica_peer import TOKEN, ReplicaPeer
from support.wait import eventually
from support.xds_operator import XdsOperator, a_pki, mount
from tandem_contract.data_class import DataClass
from tandem_contract.documents import CloudChoice, Credential, DeploymentPolicy, EndpointPolicy, Freshness
from tandem_contract.headers import Reason
from tandem_lab import campaign
from tandem_lab.gateway import Gateway
from tandem_lab.process import Process, free_port
from tandem_operator.api.v1alpha1 import Target
from tandem_operator.routing import RoutedDeployment, RoutedEndpoint, compile_deployment, compile_endpoint

HERE = Path(__file__).parent
OFFERED = "gpt-5-mini"
Provider = tuple[str, int, str, str]
"""Host, port, key and certificate authority."""

REASONS = {"fails": "failover", "dead": "failover", "absent": "bridge", "redirects": "overflow"}
"""Deployment -> why the cloud answers for it."""


@dataclass
class Way:
    """One way to the same answer, on a connection that is kept."""

    connection: http.client.HTTPConnection
    model: str
    headers: dict[str, str]
    reason: str | None

    def ask(self, *, stream: bool) -> float:
        """Return milliseconds until the first byte of the answer's body."""
        body = {"model": self.model, "stream": stream, "messages": [{"role": "user", "content": "one word " * 50}]}
        began = time.perf_counter()
        self.connection.request("POST", "/v1/chat/completions", json.dumps(body), self.headers)
        answer = self.connection.getresponse()
        first = answer.read(1)
        took = (time.perf_counter() - began) * 1000
        rest = answer.read()
        assert answer.status == 200, (self.model, answer.status, first + rest)
        assert answer.headers.get("x-tandem-reason") == self.reason, (self.model, dict(answer.headers))
        return took


@contextmanager
def cloud(folder: Path) -> Iterator[Provider]:
    """Yield host, port, key and certificate authority of a stand-in that is a process of its own."""
    folder.mkdir()
    key, port = f"sk-{secrets.token_hex(16)}", free_port()
    key_file, log = folder / "key", folder / "cloud.log"
    key_file.write_text(key)
    command = [sys.executable, "-m", "tandem_lab.cloud", "--folder", folder, "--key-file", key_file, "--port", port]
    with Process("cloud", [str(part) for part in command], log=log):
        eventually(lambda: log.exists() and '"url"' in log.read_text(), 60)
        yield "localhost", port, key, (folder / "ca.crt").read_text()


def policy(name: str) -> DeploymentPolicy:
    return DeploymentPolicy(
        deployment=f"team/{name}",
        names=(name, f"team/{name}"),
        created_seconds=1,
        prefix=f"/{name}",
        token=TOKEN,
        data_class=DataClass.INTERNAL,
        when=(Reason.OVERFLOW, Reason.FAILOVER, Reason.BRIDGE),
        clouds=(CloudChoice(endpoint="east", model=OFFERED),),
    )


def publish(operator: XdsOperator, replicas: int, provider: Provider) -> list[str]:
    """Publish an endpoint and a deployment for each fault; return the owners."""
    host, port, key, authority = provider
    way_out = RoutedEndpoint("east", f"https://{host}:{port}/v1", "eu-de", authority)
    endpoint = EndpointPolicy(
        endpoint="east",
        destination=way_out.destination,
        authority=f"{host}:{port}",
        base_path="/v1",
        region="eu-de",
        max_data_class=DataClass.CONFIDENTIAL,
        namespaces=("team",),
        models={OFFERED: 400_000},
    )
    authorization = SecretStr(f"Bearer {key}")
    credential = Credential(endpoint="east", destination=way_out.destination, authorization=authorization)
    operator.put("freshness", [], [Freshness(observed_seconds=int(datetime.now(UTC).timestamp()))])
    operator.put("endpoint/east", compile_endpoint(way_out), [endpoint, credential])
    owners = ["endpoint/east"]
    for name in REASONS:
        ports = {"absent": (), "dead": (free_port(),)}.get(name, (replicas,))
        targets = tuple(Target(replica=f"r{port}", address="127.0.0.1", port=port) for port in ports)
        routed = RoutedDeployment(
            "team",
            name,
            (name, f"team/{name}"),
            f"/{name}",
            ("east",),
            fails_over=True,
            overflows=True,
            targets=targets,
        )
        owners.append(f"deployment/team/{name}")
        operator.put(owners[-1], compile_deployment(routed), [policy(name)])
    return owners


def ways(gateway_port: int, provider: Provider) -> dict[str, Way]:
    host, port, key, authority = provider
    json_type = {"content-type": "application/json"}
    trust = ssl.create_default_context(cadata=authority)
    direct = http.client.HTTPSConnection(host, port, context=trust)
    found = {"direct": Way(direct, OFFERED, {**json_type, "authorization": f"Bearer {key}"}, None)}
    for name, reason in REASONS.items():
        connection = http.client.HTTPConnection("127.0.0.1", gateway_port)
        found[name] = Way(connection, name, json_type, reason)
    return found


def measure(found: dict[str, Way], requests: int, *, stream: bool, keep: Callable[[], None]) -> dict[str, list[float]]:
    """Ask each way in turn, so that whatever else the machine does meets all of them."""
    took: dict[str, list[float]] = {name: [] for name in found}
    for turn in range(requests):
        if turn % 100 == 0:
            keep()
        names = list(found)
        for name in itertools.islice(itertools.cycle(names), turn % len(names), turn % len(names) + len(names)):
            took[name].append(found[name].ask(stream=stream))
    return took


def report(took: dict[str, list[float]]) -> dict[str, Any]:
    direct = campaign.percentiles(took["direct"])
    told: dict[str, Any] = {"direct_milliseconds": direct}
    for name in REASONS:
        ours = campaign.percentiles(took[name])
        pairs = [mine - theirs for mine, theirs in zip(took[name], took["direct"], strict=True)]
        told[f"local_{name}"] = {
            "milliseconds": ours,
            "added_p50": round(ours["p50"] - direct["p50"], 2),
            "added_p99": round(ours["p99"] - direct["p99"], 2),
            "median_of_paired_differences": round(statistics.median(pairs), 2),
        }
    return told


def run(requests: int) -> dict[str, Any]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tandem-")))
        provider = stack.enter_context(cloud(folder / "cloud"))
        replicas = stack.enter_context(ReplicaPeer())
        replicas.behave("/fails", "500")
        replicas.behave("/redirects", "redirect")
        pki, port = a_pki(), free_port()
        operator = stack.enter_context(XdsOperator(pki.server))
        operator.put_gateway(port)
        owners = publish(operator, replicas.port, provider)
        operator.open()
        tls = mount(pki, folder / "gateway" / "tls")
        gateway = stack.enter_context(Gateway(folder / "gateway", operators=[operator.address], tls_dir=tls))
        eventually(lambda: gateway.ready and operator.accepted(*owners), 90)
        found = ways(port, provider)

        def keep() -> None:
            operator.put("freshness", [], [Freshness(observed_seconds=int(datetime.now(UTC).timestamp()))])

        def warm() -> bool:
            return all(way.ask(stream=False) > 0 for way in found.values())

        eventually(warm, 60)
        return {
            "whole_answer": report(measure(found, requests, stream=False, keep=keep)),
            "stream_time_to_first_byte": report(measure(found, requests, stream=True, keep=keep)),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=500, help="per way and kind of answer")
    facts = campaign.circumstances("make campaigns NAME=failover")
    campaign.write(HERE, facts, run(parser.parse_args().requests))


if __name__ == "__main__":
    main()
