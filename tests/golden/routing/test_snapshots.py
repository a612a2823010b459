"""Small sets of deployments and endpoints, compiled: as reviewed, as Envoy accepts them, with no way past the guard."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.static_gateway import pipe, static_bootstrap
from support.ways_out import ways_out
from tandem_contract.xds import to_any
from tandem_lab.certificates import Authority
from tandem_lab.envoy import validate
from tandem_operator.routing import (
    GatewaySettings,
    Message,
    RoutedDeployment,
    RoutedEndpoint,
    Target,
    compile_deployment,
    compile_endpoint,
    compile_gateway,
)

INPUTS = sorted((Path(__file__).parent / "input").glob("*.yaml"))
each_input = pytest.mark.parametrize("path", INPUTS, ids=lambda path: path.stem)


@each_input
def test_the_snapshot_is_as_reviewed(path: Path) -> None:
    output = path.parents[1] / "output" / path.name
    snapshot = by_owner(path)
    if len(snapshot) > 1:  # the gateway's own part is the same in all: reviewed once, in nothing-yet.yaml
        del snapshot["gateway"]
    if os.environ.get("TANDEM_WRITE_GOLDEN"):
        output.write_text(written(snapshot))
    assert yaml.safe_load(output.read_text()) == snapshot


@each_input
def test_envoy_accepts_the_snapshot(path: Path, tmp_path: Path) -> None:
    resources = [with_authority(resource) for resource in flat(by_owner(path))]
    unix = pipe(tmp_path / "unused.sock")
    validate(static_bootstrap(resources, guard=unix, agent=unix), tmp_path)


@each_input
def test_every_field_is_one_that_envoys_messages_have(path: Path) -> None:
    for resource in flat(by_owner(path)):
        assert to_any(resource).type_url == resource["@type"]


@each_input
def test_there_is_no_way_out_that_skips_the_guard(path: Path) -> None:
    assert ways_out(flat(by_owner(path))) == []


def test_every_output_has_an_input() -> None:
    outputs = {path.name for path in (Path(__file__).parent / "output").glob("*.yaml")}
    assert outputs == {path.name for path in INPUTS}


def by_owner(path: Path) -> dict[str, list[Message]]:
    wanted = yaml.safe_load(path.read_text())
    deployments = [routed_deployment(**fields) for fields in wanted["deployments"]]
    endpoints = [RoutedEndpoint(**fields) for fields in wanted.get("endpoints", [])]
    return {
        "gateway": compile_gateway(GatewaySettings()),
        **{f"deployment/{deployment.key}": compile_deployment(deployment) for deployment in deployments},
        **{f"endpoint/{endpoint.name}": compile_endpoint(endpoint) for endpoint in endpoints},
    }


def routed_deployment(**fields: Any) -> RoutedDeployment:
    fields |= {
        "names": tuple(fields["names"]),
        "clouds": tuple(fields.get("clouds", ())),
        "targets": tuple(Target(**target) for target in fields.get("targets", ())),
    }
    return RoutedDeployment(**fields)


def flat(snapshot: dict[str, list[Message]]) -> list[Message]:
    return [resource for resources in snapshot.values() for resource in resources]


def with_authority(resource: Message) -> Message:
    """Return the resource with a real certificate where the input has a placeholder."""
    text = json.dumps(resource)
    if '"AUTHORITY"' in text:
        text = text.replace('"AUTHORITY"', json.dumps(Authority().ca_pem))
    resource_again: Message = json.loads(text)
    return resource_again


class _WithoutAnchors(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def written(snapshot: dict[str, list[Message]]) -> str:
    return yaml.dump(snapshot, Dumper=_WithoutAnchors, sort_keys=False, width=110, allow_unicode=True)
