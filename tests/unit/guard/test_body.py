"""A body on its way out: the model is the provider's, and the rest is what the client wrote."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tandem_serving.gateway.guard_body import MOST_DEPTH, MOST_MEMBERS, BadBodyError, TooLongError, rewrite

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=6)
OURS = {"model", "stream", "stream_options", "max_tokens", "max_completion_tokens"}
names = (st.text(max_size=5) | st.sampled_from(["messages", "n", "modelling", "a\\", '"'])).filter(
    lambda name: name.casefold() not in OURS
)


def sent(body: bytes, model: str = "gpt") -> dict[str, Any]:
    result: dict[str, Any] = json.loads(rewrite(body, model, 20_000_000).body)
    return result


@given(
    rest=st.dictionaries(names, values, max_size=5),
    place=st.integers(0, 5),
    indent=st.none() | st.integers(0, 2),
    ascii_=st.booleans(),
)
@example(rest={"a\\": '}"\\', "b": [{"c": "]"}, "\\\\"]}, place=1, indent=None, ascii_=False)
@settings(max_examples=100, deadline=None)
def test_all_but_the_model_is_what_the_client_wrote(
    rest: dict[str, Any], place: int, indent: int | None, ascii_: bool
) -> None:
    members = list(rest.items())
    members.insert(place, ("model", "support"))
    body = json.dumps(dict(members), indent=indent, ensure_ascii=ascii_).encode(errors="surrogatepass")
    got = json.loads(rewrite(body, "gpt", 20_000_000).body.decode(errors="surrogatepass"))
    assert got == {**rest, "model": "gpt"}


@given(body=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
@settings(deadline=None)
def test_whatever_comes_it_is_sent_as_json_with_our_model_or_refused(body: bytes) -> None:
    try:
        out = rewrite(body, "gpt", 20_000_000).body
    except BadBodyError:
        return
    assert json.loads(out)["model"] == "gpt"


def test_numbers_keep_their_digits_and_members_their_order() -> None:
    body = b'{"z": 1.10, "model": "support", "a": 12345678901234567890, "e": 1E+2}'
    assert rewrite(body, "gpt", 20_000_000).body == b'{"model":"gpt","z": 1.10,"a": 12345678901234567890,"e": 1E+2}'


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "support", "model": "gpt-5-pro"}',
        b'{"mod\\u0065l": "gpt-5-pro", "model": "support"}',
        b'{"model": "support", "Model": "gpt-5-pro", "MODEL": "gpt-5-pro"}',
        '{"model": "support", "\u017ftream": true, "Stream_Options": {}}'.encode(),
    ],
)
def test_no_spelling_of_model_chooses_another_model(body: bytes) -> None:
    assert rewrite(body, "gpt", 20_000_000).body == b'{"model":"gpt"}'


@pytest.mark.parametrize(
    ("asked", "stream", "options", "wants"),
    [
        pytest.param({}, False, None, False, id="not a stream"),
        pytest.param({"stream": False}, False, None, False, id="said not to stream"),
        pytest.param({"stream": None}, False, None, False, id="null is not a stream"),
        pytest.param({"stream": True}, True, {"include_usage": True}, False, id="usage is asked for by us"),
        pytest.param(
            {"stream": True, "stream_options": {"include_usage": False, "x": 1}},
            True,
            {"include_usage": True, "x": 1},
            False,
            id="the client's other options stay",
        ),
        pytest.param(
            {"stream": True, "stream_options": {"include_usage": True}},
            True,
            {"include_usage": True},
            True,
            id="the client wants to see it",
        ),
        pytest.param({"stream": True, "stream_options": None}, True, {"include_usage": True}, False, id="null options"),
    ],
)
def test_usage_is_asked_for_in_every_stream(
    asked: dict[str, Any], stream: bool, options: dict[str, Any] | None, wants: bool
) -> None:
    out = rewrite(json.dumps({"model": "support", **asked}).encode(), "gpt", 20_000_000)
    assert (out.stream, out.wants_usage) == (stream, wants)
    assert json.loads(out.body).get("stream_options") == options


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b'"model"',
        b"{",
        b"{}",
        b'{"messages": []}',
        b'{"model": 1}',
        b'{"model": ""}',
        b'{"model": null}',
        b'{"model": "a",}',
        b'{,"model": "a"}',
        b'{"model": "a" "b": 1}',
        b'{"model": "a"} {}',
        b'{"model": "a"}x',
        b'{"model" "a"}',
        b"{'model': 'a'}",
        b'{"model": "a", "x": 01}',
        b'{"model": "a", "x": NaN}',
        b'{"model": "a", "x": tru}',
        b'{"model": "a", "x": [}',
        b'{"model": "a", "x": [1, 2}',
        b'{"model": "a", "x": [/*"*/], "model": "b", "y": [/*"*/]}',
        b'{"model": "a", "x": "unfinished',
        b'{"model": "a", "x": "unfinished\\"}',
        b'{"model": "a", "x": ["unfinished',
        b'\xef\xbb\xbf{"model": "a"}',
        '{"model": "a"}'.encode("utf-16"),
        b'{"model": "\xff"}',
        b'{"\xff": 1, "model": "a"}',
        b'{"model": "a", "stream": 1}',
        b'{"model": "a", "stream": "true"}',
        b'{"model": "a", "stream": true, "stream_options": [1]}',
        b'{"model": "a", "x": ' + b"[" * (MOST_DEPTH + 2) + b"]" * (MOST_DEPTH + 2) + b"}",
        b'{"model": "a"' + b', "x": 1' * MOST_MEMBERS + b"}",
    ],
)
def test_what_is_not_a_json_object_with_a_model_is_refused_without_quoting_it(body: bytes) -> None:
    with pytest.raises(BadBodyError) as refused:
        rewrite(body, "gpt", 20_000_000)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None
    assert "unfinished" not in str(refused.value)


def test_a_body_of_16_mib_is_not_copied_into_objects() -> None:
    text = 'line "quoted" \\ and\n' * 700_000
    body = json.dumps({"model": "support", "messages": [{"role": "user", "content": text}]}).encode()
    assert len(body) > 16 << 20
    out = rewrite(body, "gpt", 20_000_000).body
    assert out.startswith(b'{"model":"gpt","messages": [{"role"')
    assert len(out) == len(body) - len(b'"model": "support", ') + len(b'"model":"gpt",')


def test_decode_is_utf8_alone() -> None:
    assert sent('{"model": "süpport", "ключ": "значение"}'.encode()) == {"model": "gpt", "ключ": "значение"}


@pytest.mark.parametrize(
    ("asked", "fits"),
    [
        pytest.param({"max_tokens": 7000}, True, id="prompt and answer fit"),
        pytest.param({"max_tokens": 8192}, False, id="the answer leaves no room for a prompt"),
        pytest.param({"max_completion_tokens": 9000}, False, id="the newer name counts too"),
        pytest.param({"prompt": "x" * 140_000}, False, id="more text than any tokeniser packs"),
        pytest.param({"prompt": "x" * 100_000}, True, id="perhaps too long is for the provider to say"),
        pytest.param({"image": "data:image/png;base64," + "A" * 400_000}, True, id="a picture has few tokens"),
    ],
)
def test_what_surely_does_not_fit_the_context_stays(asked: dict[str, Any], fits: bool) -> None:
    body = json.dumps({"model": "support", **asked}).encode()
    with contextlib.nullcontext() if fits else pytest.raises(TooLongError, match="8192 tokens that gpt takes"):
        rewrite(body, "gpt", 8192)
