"""What a client may see of a cloud's answer."""

import pytest
from tandem_serving.gateway.guard_answer import dropped, passes, refusal


@pytest.mark.parametrize("status", [200, 201, 204, 429, 500, 502, 503, 504, 529])
def test_successes_and_what_envoy_tries_again_pass(status: int) -> None:
    assert passes(status)


@pytest.mark.parametrize(
    "status", [301, 302, 304, 307, 308, 401, 400, 402, 403, 404, 405, 407, 408, 409, 413, 421, 422, 451, 600]
)
def test_redirects_faults_and_what_tells_of_our_account_do_not_pass(status: int) -> None:
    assert not passes(status)
    assert refusal(status).startswith("the cloud endpoint")


def test_only_headers_that_belong_to_the_content_go_on() -> None:
    names = [
        ":status",
        "content-type",
        "content-length",
        "retry-after",
        "x-envoy-ratelimited",
        "x-tandem-token",
        "server",
    ]
    assert dropped([*names, "set-cookie", "openai-organization", "x-request-id"], shortened=False) == [
        "openai-organization",
        "server",
        "set-cookie",
        "x-envoy-ratelimited",
        "x-request-id",
        "x-tandem-token",
    ]


def test_an_answer_of_which_something_is_hidden_loses_its_length() -> None:
    assert dropped(["content-length", "content-type"], shortened=True) == ["content-length"]
