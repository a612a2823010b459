"""Reads usage out of a cloud's answer while it passes, and hides what the client did not ask for. Pure.

The passage (``guard_passage``) feeds the answer chunk by chunk, as Envoy cuts it; ``feed`` returns what goes on to the
client. The result is the same however the chunks are cut. Whole events go on at once; no more than one unfinished event
is held back, and only one that may carry usage: behind trailers nothing can be added any more.
"""

import json
import re
from dataclasses import dataclass
from typing import Any, Final, Protocol

MOST_EVENT_BYTES: Final = 1 << 20
"""A longer event is passed on as it comes, unread: nothing that carries usage is that long."""

MOST_ANSWER_BYTES: Final = 1 << 18
"""Of a longer answer that is not a stream only the end is read, where usage stands."""

_EVENT_END: Final = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_DATA: Final = re.compile(rb"^data:[ ]?([^\r\n]*)", re.MULTILINE)
_NO_OBJECT: Final = re.compile(rb"data:[ ]?[^\s{]")
"""Begins an event that cannot carry usage, ``data: [DONE]`` above all."""

_USAGE_AT_THE_END: Final = re.compile(rb'"usage"[ \t\r\n]*:[ \t\r\n]*(?=\{)')


@dataclass(frozen=True)
class Tokens:
    """What the provider says that an answer took, in tokens."""

    prompt: int
    completion: int


class Answer(Protocol):
    """An answer on its way to the client."""

    tokens: Tokens | None
    """None = not said, so far."""

    def feed(self, chunk: bytes, *, last: bool) -> bytes: ...


class WholeAnswer:
    """One JSON document; it goes on unchanged."""

    def __init__(self) -> None:
        self.tokens: Tokens | None = None
        self._held = bytearray()
        self._whole = True

    def feed(self, chunk: bytes, *, last: bool) -> bytes:
        """Return ``chunk``; ``tokens`` are known after the last one."""
        self._held += chunk
        if len(self._held) > MOST_ANSWER_BYTES:
            del self._held[:-MOST_ANSWER_BYTES]
            self._whole = False
        if last:
            self.tokens = _tokens_of_document(bytes(self._held)) if self._whole else _tokens_of_end(bytes(self._held))
        return chunk


class EventStream:
    """Server-sent events; ``hide_usage`` drops the event that has usage and nothing else."""

    def __init__(self, *, hide_usage: bool) -> None:
        self.tokens: Tokens | None = None
        self._hide_usage = hide_usage
        self._held = b""
        self._blind = False

    def feed(self, chunk: bytes, *, last: bool) -> bytes:
        """Return what goes on: whole events, or the chunk as it is when nothing is hidden from this client."""
        passed = self._events(chunk, last=last)
        return passed if self._hide_usage else chunk

    def _events(self, chunk: bytes, *, last: bool) -> bytes:
        buffer, self._held, out, at = self._held + chunk, b"", [], 0
        for end in _event_ends(buffer, last=last):
            out.append(self._event(buffer[at:end], finished=True))
            at = end
        rest = buffer[at:]
        if last or self._blind or len(rest) > MOST_EVENT_BYTES or _NO_OBJECT.match(rest):
            kept = len(rest) if last else len(rest.rstrip(b"\r\n"))  # a line's end may be half an event's end
            out.append(self._event(rest[:kept], finished=last))
            self._held = rest[kept:]
        else:
            self._held = rest
        return b"".join(out)

    def _event(self, raw: bytes, *, finished: bool) -> bytes:
        """Return what goes on of one event, or of a part of one that is too long to be held."""
        blind, self._blind = self._blind, not finished
        if blind or not finished or b'"usage"' not in raw:
            return raw
        data = _object(b"\n".join(_DATA.findall(raw)))
        tokens = _tokens(data)
        if tokens is None:
            return raw
        self.tokens = tokens
        return b"" if self._hide_usage and data.get("choices") == [] else raw


def _event_ends(buffer: bytes, *, last: bool) -> list[int]:
    """Return where each whole event ends. A CR at the very end may be half a line end: it has to wait."""
    ends = [found.end() for found in _EVENT_END.finditer(buffer)]
    if not last and ends and ends[-1] == len(buffer) and buffer.endswith(b"\r"):
        ends.pop()
    return ends


def _tokens_of_document(body: bytes) -> Tokens | None:
    return _tokens(_object(body))


def _tokens_of_end(tail: bytes) -> Tokens | None:
    """Return the last ``"usage": {…}`` in the end of a long document; inside a string its quotes would be escaped."""
    starts = [found.end() for found in _USAGE_AT_THE_END.finditer(tail)]
    if not starts:
        return None
    try:
        usage, _ = json.JSONDecoder().raw_decode(tail[starts[-1] :].decode(errors="replace"))
    except (ValueError, RecursionError):
        return None
    return _tokens({"usage": usage})


def _object(raw: bytes) -> dict[str, Any]:
    """Return the JSON object in ``raw``, an empty one if there is none."""
    try:
        found = json.loads(raw.decode())
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _tokens(answer: dict[str, Any]) -> Tokens | None:
    usage = answer.get("usage")
    if not isinstance(usage, dict):
        return None
    prompt, completion = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens", 0))
    return None if prompt is None or completion is None else Tokens(prompt=prompt, completion=completion)


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
