"""OpenAI's answers as the cloud stand-in writes them: chat, completions, embeddings, whole and as events. Pure."""

import base64
import struct
from collections.abc import Iterator, Mapping
from typing import Any, Final

DIMENSIONS: Final = 8
USUAL_WORDS: Final = 8

Asked = Mapping[str, Any]
Answer = dict[str, Any]


def words(asked: Asked) -> list[str]:
    """Return what the stand-in says: ``max_tokens`` words that name it and its model."""
    said = f"The cloud model {asked.get('model')} answers this request gladly".split()
    count = asked.get("max_completion_tokens") or asked.get("max_tokens") or USUAL_WORDS
    return [said[number % len(said)] for number in range(int(count))]


def whole(path: str, asked: Asked) -> Answer:
    """Return the answer to a request that is not streamed."""
    if path.endswith("/embeddings"):
        return _embeddings(asked)
    text = " ".join(words(asked))
    if path.endswith("/chat/completions"):
        choice = _choice("message", _message(asked, text), "tool_calls" if _tool(asked) else "stop")
        return {**_head(asked, "chat.completion"), "choices": [choice], "usage": _usage(asked)}
    choice = {"index": 0, "text": text, "finish_reason": "stop"}
    return {**_head(asked, "text_completion"), "choices": [choice], "usage": _usage(asked)}


def events(path: str, asked: Asked, *, usage: bool) -> Iterator[Answer]:
    """Return the events of a streamed answer, without the closing ``[DONE]``."""
    chat = path.endswith("/chat/completions")
    head = _head(asked, "chat.completion.chunk" if chat else "text_completion")
    tool = _tool(asked) if chat else None
    if tool:
        delta = {"role": "assistant", "tool_calls": [{"index": 0, **tool}]}
        yield {**head, "choices": [_choice("delta", delta, None)]}
    else:
        for word in words(asked):
            piece = _choice("delta", {"role": "assistant", "content": f"{word} "}, None)
            yield {**head, "choices": [piece if chat else {"index": 0, "text": f"{word} ", "finish_reason": None}]}
    end = _choice("delta", {}, "tool_calls" if tool else "stop")
    yield {**head, "choices": [end if chat else {"index": 0, "text": "", "finish_reason": "stop"}]}
    if usage:
        yield {**head, "choices": [], "usage": _usage(asked)}


def _head(asked: Asked, kind: str) -> Answer:
    return {"id": "cloud-1", "object": kind, "created": 1_700_000_000, "model": f"{asked.get('model')}-2026-01-01"}


def _choice(name: str, said: Answer, reason: str | None) -> Answer:
    return {"index": 0, name: said, "finish_reason": reason}


def _message(asked: Asked, text: str) -> Answer:
    tool = _tool(asked)
    return (
        {"role": "assistant", "content": None, "tool_calls": [tool]} if tool else {"role": "assistant", "content": text}
    )


def _tool(asked: Asked) -> Answer | None:
    """Return a call of the first tool on offer, with its own parameters' names as arguments."""
    for tool in asked.get("tools") or []:
        function = tool["function"]
        return {"id": "call-1", "type": "function", "function": {"name": function["name"], "arguments": "{}"}}
    return None


def _usage(asked: Asked) -> Answer:
    prompt = len(_text(asked.get("messages") or asked.get("prompt") or "").split())
    completion = len(words(asked))
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return _text(value.get("content") or value.get("text") or "")
    return " ".join(_text(part) for part in value)


def _embeddings(asked: Asked) -> Answer:
    """Return one vector for each input: as base64 when asked, which OpenAI's own client does."""
    inputs = asked.get("input") or []
    texts = [inputs] if isinstance(inputs, str) else list(inputs)
    data = [
        {"object": "embedding", "index": index, "embedding": _vector(str(text), asked.get("encoding_format"))}
        for index, text in enumerate(texts)
    ]
    prompt = sum(len(str(text).split()) for text in texts)
    usage = {"prompt_tokens": prompt, "total_tokens": prompt}
    return {"object": "list", "data": data, "model": asked.get("model"), "usage": usage}


def _vector(text: str, encoding: Any) -> Any:
    numbers = [float((len(text) + place) % 5) for place in range(DIMENSIONS)]
    return base64.b64encode(struct.pack(f"<{DIMENSIONS}f", *numbers)).decode() if encoding == "base64" else numbers
