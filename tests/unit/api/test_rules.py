"""A rule is one thing in CEL and in Python."""

from typing import Annotated, ClassVar
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from tandem_operator.api.cloud_endpoint import Url
from tandem_operator.api.common import ApiModel
from tandem_operator.api.model import ModelName, Source
from tandem_operator.api.rules import VALIDATIONS, Rule, in_order, matches, must_not_match

SHORT = matches("[a-z]{1,3}", "at most three letters")
NOT_X = must_not_match("x.*", "no x first")


def test_a_pattern_is_for_the_whole_string_on_both_sides():
    assert SHORT.cel == "self.matches(r'^(?:[a-z]{1,3})$')"
    assert [SHORT.holds(text) for text in ("abc", "abcd", "abc\n", "")] == [True, False, False, False]


def test_rules_in_order_are_silent_after_the_first_that_fails():
    adapter = TypeAdapter(Annotated[str, in_order(NOT_X, SHORT)])

    with pytest.raises(ValidationError, match="no x first") as refused:
        adapter.validate_python("xxxx")

    assert refused.value.error_count() == 1
    assert [each["rule"] for each in adapter.json_schema()[VALIDATIONS]] == [
        "!self.matches(r'^(?:x.*)$')",
        "self.matches(r'^(?:x.*)$') || self.matches(r'^(?:[a-z]{1,3})$')",
    ]


class Pair(ApiModel):
    low: int
    high: int

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("self.high >= self.low", "raise high", lambda self: self.high >= self.low, ".high"),
    )


def test_a_rule_between_fields_points_to_one_of_them():
    assert Pair.model_json_schema()[VALIDATIONS] == [
        {"rule": "self.high >= self.low", "message": "raise high", "fieldPath": ".high"}
    ]
    with pytest.raises(ValidationError, match="raise high"):
        Pair(low=2, high=1)


def accepted(kind, text: str) -> bool:
    try:
        TypeAdapter(kind).validate_python(text)
    except ValidationError:
        return False
    return True


@given(st.from_regex(r"https?://[a-z0-9.:@/?#\[\]x%A-Z\\_-]{0,40}", fullmatch=True))
@example("https://api.example.com@169.254.169.254/v1")
@example("https://api.example.com\\@evil.example")
@example("https://0x7f000001")
@example("https://1.2.3.4.")
@example("https://a.0x1:443")
def test_an_accepted_url_is_a_host_name_over_https_and_nothing_else(text: str):
    if not accepted(Url, text):
        return
    url = urlsplit(text)

    assert url.scheme == "https"
    assert url.username is None
    assert url.password is None
    assert (url.query, url.fragment) == ("", "")
    assert url.hostname is not None
    assert text.startswith(f"https://{url.hostname}"), "what is before the port is the host as it is resolved"
    assert not url.hostname.rpartition(".")[2].isdigit()
    assert not url.hostname.rpartition(".")[2].startswith("0x")
    assert url.port is None or 1 <= url.port <= 65535
    assert ".." not in url.path


@given(st.from_regex(r"(file|hf|pvc)://[a-zA-Z0-9._/~ -]{0,30}", fullmatch=True))
@example("file:///a/.cache/b")
@example("file:///a/./b")
@example("file:///..")
@example("hf://../etc")
def test_an_accepted_source_names_one_place(text: str):
    if not accepted(Source, text):
        return
    scheme, _, place = text.partition("://")
    steps = place.split("/")

    assert not {".", ".."} & set(steps)
    assert place.startswith("/") if scheme == "file" else len(steps) == 2
    assert "" not in steps[1:]


@given(st.text(min_size=1, max_size=20))
@example("local|team/chat")
@example("a b")
@example("\uff41")
def test_an_accepted_model_name_cannot_name_a_cluster_or_leave_a_header(text: str):
    if accepted(ModelName, text):
        assert text.isascii()
        assert not set(text) & set("|/ \t\r\n,;\"'%{}")
