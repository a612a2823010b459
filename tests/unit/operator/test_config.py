"""The administrator's settings."""

from pathlib import Path

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


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("nonsense: 1", "nonsense", id="an unknown setting"),
        pytest.param("rayClusters: {a: {url: x, tokenFile: t, uri: y}}", r"a\.uri", id="an unknown field"),
        pytest.param("workers: 0", "greater than or equal to 1", id="nobody to work"),
        pytest.param(
            "rayClusters: {pool: {url: x}}", r"pool\n.*tokenFile is missing.*RAY_AUTH_MODE=token", id="no token"
        ),
        pytest.param(
            "renewDeadlineSeconds: 15",
            r"renew_deadline_seconds \(15\) must be below lease_duration_seconds \(15\).*Lower the first",
            id="two who may write at the same time",
        ),
        pytest.param(
            "leaseDurationSeconds: 9",
            r"renew_deadline_seconds \(10\) must be below lease_duration_seconds \(9\)",
            id="a Lease shorter than the default deadline",
        ),
        pytest.param(
            "retryPeriodSeconds: 8.5",
            r"retry_period_seconds \(8.5\) and a fifth must be below renew_deadline_seconds \(10\).*Lower the first",
            id="a leader that cannot renew in time",
        ),
    ],
)
def test_a_mistake_is_refused_by_its_name(tmp_path, text, told):
    path = tmp_path / "operator.yaml"
    path.write_text(text)
    with pytest.raises(ValidationError, match=told):
        load_config(path)


def test_the_clocks_of_the_lease_may_be_as_close_as_they_are_in_order(tmp_path):
    path = tmp_path / "operator.yaml"
    path.write_text("{leaseDurationSeconds: 4, renewDeadlineSeconds: 3.9, retryPeriodSeconds: 3.2}")
    assert load_config(path).renew_deadline_seconds == 3.9


@pytest.mark.parametrize(
    ("namespaces", "allowed"), [((), False), (("team-a",), False), (("team-b",), True), (("*",), True)]
)
def test_a_ray_cluster_is_for_the_namespaces_that_are_named(namespaces, allowed):
    assert RayCluster(url="http://ray", token_file=Path("token"), namespaces=namespaces).allows("team-b") is allowed
