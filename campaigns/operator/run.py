"""What a thousand quiet deployments on one Ray cluster cost the operator. See README.md."""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from support.builders import a_model_deployment
from tandem_lab import campaign, manifests
from tandem_lab.control_plane import ControlPlane
from tandem_lab.operator import NAMESPACE, SERVICE_ACCOUNT, Operator, RayClusterEntry
from tandem_lab.process import Process, free_port

HERE = Path(__file__).parent
TEAM = "team"
REST_SECONDS = 1800
QUIET_SECONDS = 45  # longer than a condition waits for gateways: here there are none
SETTINGS = {"resync_seconds": 60, "relist_seconds": 60, "gateway_address": "127.0.0.1"}
"""Everything else as it is shipped; a resync each minute instead of every five, so that it needs not be waited for."""


def create(plane: ControlPlane, many: int) -> None:
    plane.kubectl("create", "namespace", TEAM)
    deployments = [a_model_deployment(f"model-{number}", namespace=TEAM) for number in range(many)]
    for at in range(0, many, 100):
        plane.apply(*deployments[at : at + 100])


def until_at_rest(operator: Operator, many: int) -> None:
    """Return when every deployment was given to Ray, and nothing was written for some seconds."""
    deadline = time.monotonic() + REST_SECONDS
    written, quiet_since = -1.0, time.monotonic()
    while time.monotonic() - quiet_since < QUIET_SECONDS:
        now = writes(operator)
        if now != written or (operator.metric("tandem_ray_request_duration_seconds_count") or 0) < many:
            written, quiet_since = now, time.monotonic()
        if time.monotonic() > deadline:
            raise TimeoutError(f"the operator was still writing after {REST_SECONDS} s")
        time.sleep(0.5)


def writes(operator: Operator) -> float:
    return operator.metric("tandem_api_writes_total") or 0.0


def window(plane: ControlPlane, operator: Operator, seconds: float) -> dict[str, Any]:
    """Measure for so long, and return what the operator used and asked."""
    since = len(plane.audit_events())
    ray, done, cpu = (
        _ray(operator),
        operator.metric("tandem_reconcile_total"),
        campaign.cpu_seconds(operator.process.pid),
    )
    began = time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - began
    used = campaign.cpu_seconds(operator.process.pid) - cpu
    reconciles = (operator.metric("tandem_reconcile_total") or 0) - (done or 0)
    asked = Counter(
        event["verb"] for event in plane.audit_events()[since:] if SERVICE_ACCOUNT in event["user"]["username"]
    )
    return {
        "seconds": round(took, 1),
        "reconciles": round(reconciles),
        "cpu_seconds": round(used, 1),
        "cpu_share_of_one_core": round(used / took, 3),
        "requests_to_ray": round(_ray(operator) - ray),
        "requests_to_api_server": dict(sorted(asked.items())),
        "memory_mebibytes": campaign.memory_mebibytes(operator.process.pid),
    }


def _ray(operator: Operator) -> float:
    return operator.metric("tandem_ray_request_duration_seconds_count") or 0.0


def run(many: int, seconds: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="tandem-") as place:
        folder, port = Path(place), free_port()
        ray = RayClusterEntry(f"http://127.0.0.1:{port}", "token")
        with (
            Process("serve", [sys.executable, str(HERE / "serve.py"), str(port)], log=folder / "serve.log"),
            ControlPlane(folder / "control-plane", audit=True) as plane,
        ):
            manifests.install(plane)
            rights = plane.service_account_kubeconfig(NAMESPACE, SERVICE_ACCOUNT)
            with Operator(
                folder / "operator", kubeconfig=rights, ray_clusters={"lab": ray}, settings=SETTINGS
            ) as operator:
                began = time.monotonic()
                create(plane, many)
                until_at_rest(operator, many)
                rest, cpu = time.monotonic() - began - QUIET_SECONDS, campaign.cpu_seconds(operator.process.pid)
                return {
                    "creation": {"seconds_until_at_rest": round(rest), "cpu_seconds": round(cpu, 1)},
                    "at_rest": window(plane, operator, seconds),
                }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deployments", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=180.0, help="of watching them at rest")
    options = parser.parse_args()
    facts = campaign.circumstances("make campaigns NAME=operator")
    results = {f"{options.deployments}_deployments_on_one_ray_cluster": run(options.deployments, options.seconds)}
    campaign.write(HERE, facts, results)


if __name__ == "__main__":
    main()
