"""A request's body, made into the provider's. Pure: bytes in, bytes out. Called once the request may leave.

Only the members that Tandem has a say in are read and written anew: ``model``, ``stream``, ``stream_options``.
Everything else travels byte for byte, so numbers keep their digits, and a body of 16 MiB is neither turned into
objects nor into twenty times its size. Names that merely resemble those three ("Model": some servers ignore case)
stay here.

Refused: what is not one JSON object with a model. Nested values are skipped by their brackets and strings; Envoy has
parsed the whole body before, and a provider refuses what is broken inside.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

MOST_MEMBERS: Final = 1000
MOST_DEPTH: Final = 500

_OURS: Final = frozenset({"model", "stream", "stream_options"})
_ANSWER_LIMITS: Final = frozenset({"max_tokens", "max_completion_tokens"})
_MOST_BYTES_PER_TOKEN: Final = 16
"""Text has about four bytes a token, indented code six: what is longer than this allows does not fit."""

_BACKSLASH: Final = 0x5C
_SPACE: Final = re.compile(rb"[ \t\r\n]*+")
_SCALAR: Final = re.compile(rb"(?>true|false|null|-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?)")
_STRUCTURE: Final = re.compile(rb'[ \t\r\n,:0-9a-zE+.\-]*+(?:(")|([\[{])|([\]}]))')
"""The next quote, opening or closing bracket; between them only what JSON has between them."""


class TooLongError(Exception):
    """The request cannot fit what the model takes."""


class BadBodyError(Exception):
    """The body is not one that this gateway sends on. The text has nothing of the body in it."""


@dataclass(frozen=True)
class Outbound:
    """A body for the provider, and what the client had asked for."""

    body: bytes
    stream: bool
    wants_usage: bool
    """Whether the client asked for the usage of its stream: if not, it does not see that chunk."""


@dataclass(frozen=True)
class _Member:
    name: str
    start: int
    value: int
    end: int


def rewrite(body: bytes, model: str, context_tokens: int) -> Outbound:
    """Return the body with ``model`` in it, and with usage asked for when it streams.

    Raises ``BadBodyError``, and ``TooLongError`` for what a context of ``context_tokens`` surely cannot hold.
    """
    members = list(_members(body))
    if _least_tokens(body, members) > context_tokens:
        raise TooLongError(f"prompt and answer do not fit the {context_tokens} tokens that {model} takes")
    ours = {member.name: _decode(body[member.value : member.end]) for member in members if member.name in _OURS}
    if not (isinstance(ours.get("model"), str) and ours["model"]):
        raise BadBodyError("the body has no model")
    stream, options = ours.get("stream") or False, ours.get("stream_options") or {}
    if not isinstance(stream, bool) or not isinstance(options, dict):
        raise BadBodyError("stream is not a boolean, or stream_options is not an object")
    ours["model"] = model
    if stream:
        ours["stream_options"] = {**options, "include_usage": True}
    head = json.dumps(ours, separators=(",", ":")).encode()[:-1]
    rest = (body[member.start : member.end] for member in members if member.name.casefold() not in _OURS)
    return Outbound(b",".join([head, *rest]) + b"}", stream=stream, wants_usage=options.get("include_usage") is True)


def _least_tokens(body: bytes, members: Iterable[_Member]) -> int:
    """Return a number of tokens that the request has at least; pictures and sound do not count by their bytes."""
    limits = [_decode(body[member.value : member.end]) for member in members if member.name in _ANSWER_LIMITS]
    answer = max((limit for limit in limits if isinstance(limit, int)), default=0)
    prompt = 0 if b";base64," in body or b"input_audio" in body else len(body) // _MOST_BYTES_PER_TOKEN
    return prompt + answer


def _members(body: bytes) -> Iterator[_Member]:
    """Walk the members of the object that ``body`` is."""
    at = _expect(body, _space(body, 0), b"{")
    if body[at : at + 1] == b"}":
        _end(body, at + 1)
        return
    for _ in range(MOST_MEMBERS):
        start = at
        at = _string_end(body, _after(body, at, b'"'))
        name = _decode(body[start:at])
        value = _expect(body, _space(body, at), b":")
        end = _value_end(body, value)
        yield _Member(name, start, value, end)
        at = _space(body, end)
        if body[at : at + 1] == b"}":
            _end(body, at + 1)
            return
        at = _expect(body, at, b",")
    raise BadBodyError(f"the body has more than {MOST_MEMBERS} members")


def _value_end(body: bytes, at: int) -> int:
    """Return where the value that begins at ``at`` ends."""
    first = body[at : at + 1]
    if first == b'"':
        return _string_end(body, at + 1)
    if first in (b"{", b"["):
        return _nested_end(body, at)
    scalar = _SCALAR.match(body, at)
    if scalar is None:
        raise BadBodyError("the body is not JSON")
    return scalar.end()


def _nested_end(body: bytes, at: int) -> int:
    depth = 0
    while True:
        found = _STRUCTURE.match(body, at)
        if found is None or depth > MOST_DEPTH:
            raise BadBodyError("the body is not JSON, or nested too deeply")
        at = found.end()
        match found.lastindex:
            case 1:
                at = _string_end(body, at)
            case 2:
                depth += 1
            case _:
                depth -= 1
        if depth == 0:
            return at


def _string_end(body: bytes, at: int) -> int:
    """Return where the string ends whose opening quote is before ``at``. Only quotes are looked at."""
    while True:
        quote = body.find(b'"', at)
        if quote < 0:
            raise BadBodyError("the body is not JSON")
        before = quote - 1
        while body[before] == _BACKSLASH:
            before -= 1
        if (quote - before) % 2:
            return quote + 1
        at = quote + 1


def _decode(raw: bytes) -> Any:
    try:
        return json.loads(raw.decode())  # bytes would be taken for UTF-16 when they look like it
    except (ValueError, RecursionError):
        raise BadBodyError("the body is not JSON") from None  # the parser's error quotes the body


def _space(body: bytes, at: int) -> int:
    found = _SPACE.match(body, at)
    return found.end() if found else at


def _after(body: bytes, at: int, mark: bytes) -> int:
    if body[at : at + 1] != mark:
        raise BadBodyError("the body is not a JSON object")
    return at + 1


def _expect(body: bytes, at: int, mark: bytes) -> int:
    """Return where the next token begins, after ``mark`` and white space."""
    return _space(body, _after(body, at, mark))


def _end(body: bytes, at: int) -> None:
    if _space(body, at) != len(body):
        raise BadBodyError("something follows the JSON object")
