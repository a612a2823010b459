import pytest
from google.protobuf import json_format
from support.xds_client import cluster
from tandem_contract.xds import InvalidResource, to_any
from tandem_contract.xds.types import CLUSTER

PREFIX = "type.googleapis.com/"


def test_a_field_that_does_not_exist_is_refused_by_name() -> None:
    with pytest.raises(InvalidResource, match="conect_timeout"):
        to_any({**cluster("x"), "conect_timeout": "1s"})


def test_a_field_deep_in_an_extension_is_refused_by_name() -> None:
    buffer = {"@type": f"{PREFIX}envoy.extensions.filters.http.buffer.v3.Buffer", "max_request_byte": 1}
    with pytest.raises(InvalidResource, match="max_request_byte"):
        to_any({**cluster("x"), "typed_extension_protocol_options": {"x": buffer}})


def test_an_extension_that_does_not_exist_is_refused() -> None:
    unknown = {"@type": f"{PREFIX}envoy.extensions.filters.http.nothing.v3.Nothing"}
    with pytest.raises(InvalidResource, match="nothing"):
        to_any({**cluster("x"), "typed_extension_protocol_options": {"x": unknown}})


def test_a_message_without_a_type_is_refused() -> None:
    with pytest.raises(InvalidResource):
        to_any({"name": "x"})


def test_the_composite_cluster_is_known_with_both_its_fields() -> None:
    config = {
        "@type": f"{PREFIX}envoy.extensions.clusters.composite.v3.ClusterConfig",
        "clusters": [{"name": "local|a/b"}, {"name": "cloud|x"}],
    }
    message = {"@type": CLUSTER, "name": "model|a", "cluster_type": {"name": "c", "typed_config": config}}
    written = json_format.MessageToDict(to_any(message), preserving_proto_field_name=True)
    assert written["cluster_type"]["typed_config"] == config


def test_a_wrong_field_of_the_composite_cluster_is_refused() -> None:
    config = {"@type": f"{PREFIX}envoy.extensions.clusters.composite.v3.ClusterConfig", "cluster": []}
    with pytest.raises(InvalidResource, match="cluster"):
        to_any({"@type": CLUSTER, "name": "m", "cluster_type": {"name": "c", "typed_config": config}})
