"""Names that cannot meet."""

import re
from itertools import product

from hypothesis import given
from hypothesis import strategies as st
from tandem_operator import names

UID = "0b0a1f6e-0000-4000-8000-000000000001"
LABEL = st.from_regex(r"[a-z]([-a-z0-9]{0,6}[a-z0-9])?", fullmatch=True)


@given(LABEL, LABEL, LABEL, LABEL)
def test_two_deployments_never_share_a_serve_app(namespace: str, name: str, other_namespace: str, other_name: str):
    same = (namespace, name) == (other_namespace, other_name)

    assert (names.serve_app(UID, namespace, name) == names.serve_app(UID, other_namespace, other_name)) == same


def test_two_kubernetes_clusters_never_share_a_serve_app():
    assert names.serve_app(UID, "a", "b") != names.serve_app(UID.replace("0b0a1f6e", "1b0a1f6e"), "a", "b")


def test_the_longest_serve_app_is_a_path_segment_as_it_is():
    app = names.serve_app(UID, "n" * 63, "m" * 40)

    assert len(app) <= 128
    assert re.fullmatch("[a-z0-9_-]+", app)
    assert names.prefix(app) == f"/{app}"


def test_a_name_of_one_kind_of_cluster_is_never_one_of_another():
    kinds = (
        names.model_cluster,
        names.escalated_cluster,
        names.local_cluster,
        names.cloud_cluster,
        lambda endpoint: names.upstream_cluster(endpoint, "0123456789abcdef"),
        names.home_cluster,
    )

    made = {make(given) for make, given in product(kinds, ("a", "a/b", "model", "cloud"))}

    assert len(made) == len(kinds) * 4
