"""Tokens guessed from bytes."""

import json

import pytest
from tandem_serving.replica.prompt_size import TOKENS_PER_MEDIUM, BytesPerToken, PromptSize, measure


def test_four_bytes_are_a_token_until_something_was_counted():
    assert BytesPerToken().tokens(PromptSize(400, 0), most=8192) == 100


def test_a_guess_is_never_nothing_and_never_more_than_the_context():
    assert BytesPerToken().tokens(PromptSize(0, 0), most=8192) == 1
    assert BytesPerToken().tokens(PromptSize(10**7, 0), most=8192) == 8192


def test_the_ratio_follows_what_the_engine_counts():
    ratio = BytesPerToken()
    for _ in range(200):
        ratio = ratio.after(PromptSize(1000, 0), 500)
    assert ratio.value == pytest.approx(2.0, rel=0.01)


@pytest.mark.parametrize("tokens", [0, 10**9])
def test_an_odd_count_does_not_ruin_the_ratio(tokens):
    assert 0.5 <= BytesPerToken().after(PromptSize(100, 0), tokens).value <= 64


def test_an_image_counts_as_an_image_and_not_as_its_base64():
    image = "data:image/png;base64," + "A" * 1_000_000
    body = json.dumps({"messages": [{"content": [{"type": "image_url", "image_url": {"url": image}}]}]}).encode()
    size = measure(body)
    assert size.media == 1
    assert size.text_bytes < 200
    assert BytesPerToken().tokens(size, most=8192) < TOKENS_PER_MEDIUM + 100


def test_a_text_that_only_speaks_of_data_is_text():
    body = json.dumps({"prompt": "data: is a scheme, data:image/png is another"}).encode()
    assert measure(body) == PromptSize(len(body), 0)
