"""The paths that exist, and those of vLLM that do not exist here."""

import pytest
from tandem_serving.replica import paths
from tandem_serving.replica.paths import Kind


@pytest.mark.parametrize(
    ("path", "rest"),
    [
        ("/app/v1/models", "/v1/models"),
        ("/app/", "/"),
        ("/app", None),
        ("/app2/v1/models", None),
        ("/ap/v1/models", None),
        ("/v1/models", None),
        ("/app/app/v1/models", "/app/v1/models"),
    ],
)
def test_within_a_prefix(path, rest):
    assert paths.within(path, "/app") == rest


@pytest.mark.parametrize(
    "path",
    [
        "/pause",
        "/resume",
        "/sleep",
        "/wake_up",
        "/collective_rpc",
        "/v1/load_lora_adapter",
        "/v1/unload_lora_adapter",
        "/reset_prefix_cache",
        "/server_info",
        "/start_profile",
        "/update_weights",
        "/scale_elastic_ep",
        "/invocations",
        "/docs",
        "/openapi.json",
        "/tokenizer_info",
        "/v1/chat/completions/",
        "//v1/chat/completions",
        "/v1/../pause",
        "",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_what_is_not_listed_does_not_exist(method, path):
    assert paths.kind(method, path) is None


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("POST", "/v1/chat/completions", Kind.INFERENCE),
        ("POST", "/v1/embeddings", Kind.INFERENCE),
        ("GET", "/v1/models", Kind.OTHER),
        ("HEAD", "/metrics", Kind.OTHER),
        ("GET", "/tandem/healthz", Kind.HEALTH),
        ("GET", "/v1/chat/completions", "POST"),
        ("HEAD", "/v1/chat/completions", "POST"),
        ("POST", "/metrics", "GET"),
    ],
)
def test_kind(method, path, kind):
    assert paths.kind(method, path) == kind
