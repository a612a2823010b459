"""Usage is read, and hidden from who did not ask, however the answer is cut into chunks."""

import itertools
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tandem_serving.gateway.sse import MOST_ANSWER_BYTES, MOST_EVENT_BYTES, Answer, EventStream, Tokens, WholeAnswer

USAGE = {"prompt_tokens": 5, "completion_tokens": 20, "total_tokens": 25}
ENDS = ["\n\n", "\r\n\r\n", "\r\r", "\n\r\n"]


def event(data: dict[str, Any] | str, end: str = "\n\n") -> bytes:
    return f"data: {data if isinstance(data, str) else json.dumps(data)}{end}".encode()


def word(text: str, end: str = "\n\n", **more: Any) -> bytes:
    return event({"choices": [{"index": 0, "delta": {"content": text}}], **more}, end)


def usage_event(end: str = "\n\n") -> bytes:
    return event({"choices": [], "usage": USAGE}, end)


def cut(stream: bytes, places: Sequence[int]) -> list[bytes]:
    bounds = [0, *sorted({place % (len(stream) + 1) for place in places}), len(stream)]
    return [stream[a:b] for a, b in itertools.pairwise(bounds)]


def through(answer: Answer, chunks: Sequence[bytes]) -> bytes:
    return b"".join(answer.feed(chunk, last=number == len(chunks) - 1) for number, chunk in enumerate(chunks))


texts = st.text(max_size=20) | st.sampled_from(['"usage"', "\n\n", "data: [DONE]", '{"usage": {"prompt_tokens": 1}}'])
pieces = st.one_of(
    texts.map(word),
    st.builds(word, texts, st.sampled_from(ENDS)),
    st.builds(lambda text: word(text, usage=None), texts),
    st.sampled_from(
        [
            b": ping\n\n",
            b"event: x\ndata: 1\n\n",
            b"\n\n",
            b"\n",
            b"\r",
            b"id: 7\r\n",
            b"junk",
            b"data: ping\n\n",
            b"data: x\r\n",
        ]
    ),
    st.sampled_from(ENDS).map(usage_event),
)


@given(stream=st.lists(pieces, max_size=8).map(b"".join), places=st.lists(st.integers(0, 4000), max_size=12))
@example(stream=usage_event("\n\r\n") + word("x"), places=[len(usage_event("\n\r\n")) - 1])
@settings(max_examples=300, deadline=None)
def test_the_output_does_not_depend_on_where_chunks_end(stream: bytes, places: list[int]) -> None:
    whole, crumbs = EventStream(hide_usage=True), EventStream(hide_usage=True)
    assert through(crumbs, cut(stream, places)) == through(whole, [stream])
    assert crumbs.tokens == whole.tokens


@given(
    words=st.lists(texts, max_size=5),
    end=st.sampled_from(ENDS),
    done=st.booleans(),
    places=st.lists(st.integers(0, 4000), max_size=12),
)
@settings(max_examples=150, deadline=None)
def test_exactly_the_usage_event_is_hidden(words: list[str], end: str, done: bool, places: list[int]) -> None:
    said = b"".join(word(text, end) for text in words)
    closing = event("[DONE]", end) if done else b""
    answer = EventStream(hide_usage=True)
    assert through(answer, cut(said + usage_event(end) + closing, places)) == said + closing
    assert answer.tokens == Tokens(5, 20)


@given(stream=st.lists(pieces, max_size=8).map(b"".join), places=st.lists(st.integers(0, 4000), max_size=12))
@settings(deadline=None)
def test_a_client_that_asked_gets_every_byte_as_it_comes(stream: bytes, places: list[int]) -> None:
    answer = EventStream(hide_usage=False)
    for chunk in (chunks := cut(stream, places)):
        assert answer.feed(chunk, last=chunk is chunks[-1]) == chunk


def test_whole_events_go_on_at_once() -> None:
    answer = EventStream(hide_usage=True)
    assert answer.feed(word("one") + word("two")[:10], last=False) == word("one")
    assert answer.feed(word("two")[10:], last=False) == word("two")


def test_usage_beside_the_last_words_is_counted_and_the_words_are_kept() -> None:
    answer = EventStream(hide_usage=True)
    last = word("end", usage=USAGE)
    assert through(answer, [last]) == last
    assert answer.tokens == Tokens(5, 20)


def test_the_last_usage_counts_when_it_is_reported_all_along() -> None:
    answer = EventStream(hide_usage=True)
    through(answer, [word("a", usage={"prompt_tokens": 5, "completion_tokens": 1}), usage_event()])
    assert answer.tokens == Tokens(5, 20)


def test_usage_in_the_text_of_an_answer_is_text() -> None:
    answer = EventStream(hide_usage=True)
    said = word('{"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}')
    assert through(answer, [said]) == said
    assert answer.tokens is None


def test_a_usage_event_without_its_blank_line_is_hidden_at_the_end() -> None:
    answer = EventStream(hide_usage=True)
    assert through(answer, [word("a"), usage_event().rstrip()]) == word("a")


def test_data_over_several_lines_is_one_event() -> None:
    answer = EventStream(hide_usage=True)
    raw = b'data: {"choices": [],\ndata: "usage": {"prompt_tokens": 5, "completion_tokens": 20}}\n\n'
    assert through(answer, [raw]) == b""
    assert answer.tokens == Tokens(5, 20)


def test_an_event_that_is_too_long_to_hold_passes_and_the_next_is_read_again() -> None:
    answer = EventStream(hide_usage=True)
    long = word("x" * (MOST_EVENT_BYTES + 5))
    chunks = [long[:100], long[100:-7], long[-7:], usage_event(), event("[DONE]")]
    assert through(answer, chunks) == long + event("[DONE]")
    assert answer.tokens == Tokens(5, 20)


def test_what_cannot_carry_usage_goes_on_before_its_event_has_ended() -> None:
    answer = EventStream(hide_usage=True)
    assert answer.feed(b"data: [DO", last=False) == b"data: [DO"
    assert answer.feed(b"NE]\n", last=False) == b"NE]"


@pytest.mark.parametrize("first", ["ping", "x" * (MOST_EVENT_BYTES + 5)], ids=["no object", "too long to hold"])
@pytest.mark.parametrize("end", ENDS)
def test_an_event_that_goes_on_unfinished_ends_where_it_ends_however_it_is_cut(first: str, end: str) -> None:
    raw = event(first, end)
    for place in range(len(raw) - len(end) - 1, len(raw)):
        answer = EventStream(hide_usage=True)
        chunks = [raw[:place], raw[place:], usage_event(end), event("[DONE]", end)]
        assert through(answer, chunks) == raw + event("[DONE]", end)
        assert answer.tokens == Tokens(5, 20)


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        pytest.param({"usage": USAGE}, Tokens(5, 20), id="chat"),
        pytest.param({"usage": {"prompt_tokens": 7, "total_tokens": 7}}, Tokens(7, 0), id="embeddings"),
        pytest.param({"usage": None}, None, id="null"),
        pytest.param({"usage": []}, None, id="a list"),
        pytest.param({"usage": {"prompt_tokens": "5"}}, None, id="text"),
        pytest.param({"usage": {"prompt_tokens": -1, "completion_tokens": 1}}, None, id="negative"),
        pytest.param({"usage": {"prompt_tokens": True, "completion_tokens": 1}}, None, id="a boolean"),
        pytest.param({"choices": []}, None, id="not said"),
        pytest.param({"choices": [{"text": '"usage": {"prompt_tokens": 1}'}]}, None, id="in the text"),
    ],
)
@pytest.mark.parametrize("size", [0, MOST_ANSWER_BYTES * 2])
def test_usage_of_a_whole_answer(body: dict[str, Any], tokens: Tokens | None, size: int) -> None:
    raw = json.dumps({"data": "x" * size, **body}).encode()
    answer = WholeAnswer()
    assert through(answer, cut(raw, [3, 1000, size // 2, size])) == raw
    assert answer.tokens == tokens


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'{"usage": {', b"\xff\xfe", b"[" * 100_000])
def test_an_answer_that_cannot_be_read_passes_as_it_is(body: bytes) -> None:
    answer = WholeAnswer()
    assert answer.feed(body, last=True) == body
    assert answer.tokens is None
