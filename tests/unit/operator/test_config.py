"""The administrator's settings."""

import pytest
from pydantic import ValidationError
from tandem_operator.config import RayCluster, load_config

FILE = """
namespace: from-file
relistSeconds: 30
rayClusters:
  pool: {url: "http://ray:8265", tokenFile: TOKEN, namespaces: [team-a], httpHost: 10.0.0.1}
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "token").write_text("secret\n")
    path = tmp_path / "operator.yaml"
    path.write_text(FILE.replace("TOKEN", str(tmp_path / "token")))
    return path


def test_the_file_names_ray_clusters_in_camel_case(file):
    config = load_config(file)
    assert config.relist_seconds == 30
    assert config.ray_clusters["pool"].http_host == "10.0.0.1"


def test_the_environment_wins(file, monkeypatch):
    monkeypatch.setenv("TANDEM_NAMESPACE", "from-environment")
    assert load_config(file).namespace == "from-environment"


def test_a_token_is_read_anew_each_time(file):
    cluster = load_config(file).ray_clusters["pool"]
    assert cluster.token() == "secret"
    cluster.token_file.write_text("rotated")
    assert cluster.token() == "rotated"


@pytest.mark.parametrize("text", ["nonsense: 1", "rayClusters: {a: {url: x, uri: y}}", "workers: 0"])
def test_a_mistake_in_the_file_is_refused(tmp_path, text):
    path = tmp_path / "operator.yaml"
    path.write_text(text)
    with pytest.raises(ValidationError):
        load_config(path)


@pytest.mark.parametrize(
    ("namespaces", "allowed"), [((), False), (("team-a",), False), (("team-b",), True), (("*",), True)]
)
def test_a_ray_cluster_is_for_the_namespaces_that_are_named(namespaces, allowed):
    assert RayCluster(url="http://ray", namespaces=namespaces).allows("team-b") is allowed
