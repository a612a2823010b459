"""Tandem's gateway against bare Envoy on the local path, with 1 and with 1,000 deployments. See README.md."""

import argparse
import http.client
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from support.wait import eventually
from support.xds_operator import XdsOperator, a_pki, compile_model, mount
from tandem_lab import campaign
from tandem_lab.envoy import Envoy
from tandem_lab.gateway import Gateway
from tandem_lab.process import Process, free_port

HERE = Path(__file__).parent
TYPE = "type.googleapis.com/"
MANAGER = TYPE + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = {"name": "router", "typed_config": {"@type": f"{TYPE}envoy.extensions.filters.http.router.v3.Router"}}
CPU_BOUND, UNLOADED = 16, 1  # connections


def bootstrap(port: int, admin: int, upstream: int) -> dict[str, Any]:
    route = {"match": {"prefix": "/"}, "route": {"cluster": "upstream", "timeout": "0s"}}
    hosts = [{"name": "all", "domains": ["*"], "routes": [route]}]
    manager = {
        "@type": MANAGER,
        "stat_prefix": "in",
        "http_filters": [ROUTER],
        "route_config": {"virtual_hosts": hosts},
    }
    listener = {
        "address": address(port),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    return {
        "admin": {"address": address(admin)},
        "static_resources": {"listeners": [listener], "clusters": one_cluster(upstream)},
    }


def address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def one_cluster(port: int) -> list[dict[str, Any]]:
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address(port)}}]}]
    load = {"cluster_name": "upstream", "endpoints": endpoints}
    return [{"name": "upstream", "type": "STATIC", "connect_timeout": "1s", "load_assignment": load}]


@contextmanager
def bare_envoy(folder: Path, upstream: int) -> Iterator[tuple[Envoy, int]]:
    """Yield an Envoy with one route, one cluster and no filter but the router, on one worker as the gateway."""
    folder.mkdir()
    port, admin = free_port(), free_port()
    file = folder / "envoy.json"
    file.write_text(json.dumps(bootstrap(port, admin, upstream)))
    with Envoy(file, admin_port=admin, log=folder / "envoy.log") as envoy:
        eventually(lambda: envoy.live, within_seconds=60)
        yield envoy, port


def answers(port: int) -> bool:
    body = json.dumps({"model": "m0", "messages": [{"role": "user", "content": "one word"}]})
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    return True


def wrk(port: int, connections: int, seconds: float) -> dict[str, Any]:
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "-s", HERE / "post.lua", f"http://127.0.0.1:{port}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT "))
    found: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
    if found["bad"]:
        raise RuntimeError(f"{found['bad']} requests failed: {done.stdout}")
    return found


def measure(envoy: Envoy, port: int, seconds: float) -> dict[str, float]:
    """Return one round of one Envoy: what a request costs it in CPU, and how long it takes unloaded."""
    pid = envoy.process.pid
    began, clock = campaign.cpu_seconds(pid), time.monotonic()
    busy = wrk(port, CPU_BOUND, seconds)
    used, wall = campaign.cpu_seconds(pid) - began, time.monotonic() - clock
    calm = wrk(port, UNLOADED, seconds)
    return {
        "requests_per_cpu_second": busy["requests"] / used,
        "requests_per_second": busy["requests"] / (busy["microseconds"] / 1e6),
        "share_of_a_core": used / wall,
        "p50_microseconds": calm["p50_us"],
        "p99_microseconds": calm["p99_us"],
    }


def compare(gateway: tuple[Envoy, int], bare: tuple[Envoy, int], rounds: int, seconds: float) -> dict[str, Any]:
    """Alternate between the two, the order changing with each round."""
    pairs: list[tuple[dict[str, float], dict[str, float]]] = []
    for turn in range(rounds):
        order = (gateway, bare) if turn % 2 else (bare, gateway)
        found = {id(one): measure(*one, seconds) for one in order}
        pairs.append((found[id(gateway)], found[id(bare)]))
    ratio = "requests_per_cpu_second"
    return {
        "gateway": {name: campaign.spread([ours[name] for ours, _ in pairs]) for name in pairs[0][0]},
        "bare_envoy": {name: campaign.spread([theirs[name] for _, theirs in pairs]) for name in pairs[0][1]},
        "ratio_requests_per_cpu_second": campaign.spread([ours[ratio] / theirs[ratio] for ours, theirs in pairs]),
        "added_p50_microseconds": campaign.spread([o["p50_microseconds"] - t["p50_microseconds"] for o, t in pairs]),
        "added_p99_microseconds": campaign.spread([o["p99_microseconds"] - t["p99_microseconds"] for o, t in pairs]),
    }


def idle(envoy: Envoy, seconds: float = 5) -> float:
    """Return the share of a core that is used without requests: health checks, mostly."""
    began = campaign.cpu_seconds(envoy.process.pid)
    time.sleep(seconds)
    return round((campaign.cpu_seconds(envoy.process.pid) - began) / seconds, 3)


def size(gateway: Gateway) -> dict[str, Any]:
    return {
        "envoy_mebibytes": campaign.memory_mebibytes(gateway.envoy.process.pid),
        "agent_mebibytes": campaign.memory_mebibytes(gateway.agent.pid),
        "envoy_idle_share_of_a_core": idle(gateway.envoy),
    }


def compile_milliseconds(many: int) -> float:
    began = time.perf_counter()
    for i in range(many):
        compile_model(f"m{i}", 1)
    return (time.perf_counter() - began) * 1000


def fill(operator: XdsOperator, port: int, many: int) -> float:
    """Publish the rest of the deployments; return seconds until Envoy has acknowledged all."""
    began = time.monotonic()
    owners = [operator.put_model(f"m{i}", port) for i in range(1, many)]
    eventually(lambda: operator.accepted(*owners), 300, every=0.05)
    return time.monotonic() - began


def changes(operator: XdsOperator, gateway: Gateway, port: int, turns: int) -> dict[str, Any]:
    """Edit one deployment's prefix and move one replica, again and again: what is sent, how long until acknowledged."""
    sent: dict[str, set[int]] = {"edited_deployment": set(), "moved_replica": set()}
    took: dict[str, list[float]] = {"edited_deployment": [], "moved_replica": []}
    for turn in range(turns):
        for kind, ports, prefix in (
            ("edited_deployment", (port,), f"/p{turn}"),
            ("moved_replica", (port, 9), f"/p{turn}"),
        ):
            before, began = gateway.metric("tandem_gateway_resources_total") or 0, time.monotonic()
            owner = operator.put_model("m0", *ports, prefix=prefix)
            eventually(lambda owner=owner: operator.accepted(owner), 60, every=0.001)
            took[kind].append((time.monotonic() - began) * 1000)
            sent[kind].add(int((gateway.metric("tandem_gateway_resources_total") or 0) - before))
        back = operator.put_model("m0", port, prefix=f"/p{turn}")
        eventually(lambda back=back: operator.accepted(back), 60)
    return {
        kind: {"resources_sent": sorted(sent[kind]), "acknowledged_milliseconds": campaign.percentiles(took[kind])}
        for kind in sent
    }


def run(rounds: int, seconds: float, many: int) -> dict[str, Any]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tandem-")))
        upstream = free_port()
        server = [sys.executable, HERE / "upstream.py", str(upstream)]
        stack.enter_context(Process("upstream", server, log=folder / "upstream.log"))
        bare = stack.enter_context(bare_envoy(folder / "bare", upstream))
        pki, port = a_pki(), free_port()
        operator = stack.enter_context(XdsOperator(pki.server))
        operator.put_gateway(port)
        operator.put_model("m0", upstream)
        operator.open()
        tls = mount(pki, folder / "gateway" / "tls")
        gateway = stack.enter_context(Gateway(folder / "gateway", operators=[operator.address], tls_dir=tls))
        eventually(lambda: gateway.ready and operator.accepted("deployment/team/m0"), 60)
        eventually(lambda: answers(port), 60)  # the first health check has passed
        for one in (port, bare[1]):
            wrk(one, CPU_BOUND, 2)  # warm
        few = {**compare((gateway.envoy, port), bare, rounds, seconds), **size(gateway)}
        filled = fill(operator, upstream, many)
        crowd = {**compare((gateway.envoy, port), bare, rounds, seconds), **size(gateway)}
        return {
            "rounds": rounds,
            "seconds_per_round": seconds,
            "with_1_deployment": few,
            f"with_{many}_deployments": crowd,
            "bare_envoy_mebibytes": campaign.memory_mebibytes(bare[0].process.pid),
            f"compile_{many}_deployments_milliseconds": campaign.spread([compile_milliseconds(many) for _ in range(5)]),
            f"seconds_until_envoy_had_{many}_deployments": round(filled, 2),
            "one_change_among_them": changes(operator, gateway, upstream, 30),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--deployments", type=int, default=1000)
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        parser.error("wrk is missing: sudo apt-get install wrk")
    facts = campaign.circumstances("make campaigns NAME=gateway")
    campaign.write(HERE, facts, run(options.rounds, options.seconds, options.deployments))


if __name__ == "__main__":
    main()
