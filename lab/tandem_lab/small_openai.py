"""OpenAI's shapes, as the small model writes them: chat and text completions, whole and in pieces."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any


class Shape(ABC):
    """How one endpoint writes its answers."""

    kind: str
    piece_kind: str

    def __init__(self, asked: Mapping[str, Any], model: str) -> None:
        self._model = model
        self.wants_usage = bool((asked.get("stream_options") or {}).get("include_usage"))
        self._tool = next((tool["function"]["name"] for tool in asked.get("tools") or []), None)

    def whole(self, said: Sequence[str], prompt_tokens: int) -> dict[str, Any]:
        reason = "tool_calls" if self._tool else "stop"
        choice = {"index": 0, "finish_reason": reason, **self._said(" ".join(said))}
        return {**self._head(self.kind), "choices": [choice], "usage": _usage(prompt_tokens, len(said))}

    def piece(self, word: str) -> dict[str, Any]:
        choice = {"index": 0, "finish_reason": None, **self._says(word + " ")}
        return {**self._head(self.piece_kind), "choices": [choice]}

    def end(self) -> dict[str, Any]:
        return {**self._head(self.piece_kind), "choices": [{"index": 0, "finish_reason": "stop", **self._says("")}]}

    def usage(self, prompt_tokens: int, tokens: int) -> dict[str, Any]:
        return {**self._head(self.piece_kind), "choices": [], "usage": _usage(prompt_tokens, tokens)}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": "small-1", "object": kind, "created": 0, "model": self._model}

    @abstractmethod
    def _said(self, text: str) -> dict[str, Any]:
        """Return the part of a choice that holds a whole answer."""

    @abstractmethod
    def _says(self, text: str) -> dict[str, Any]:
        """Return the part of a choice that holds a piece of one."""


class Chat(Shape):
    kind = "chat.completion"
    piece_kind = "chat.completion.chunk"

    def _said(self, text: str) -> dict[str, Any]:
        if not self._tool:
            return {"message": {"role": "assistant", "content": text}}
        call = {"id": "call-1", "type": "function", "function": {"name": self._tool, "arguments": "{}"}}
        return {"message": {"role": "assistant", "content": None, "tool_calls": [call]}}

    def _says(self, text: str) -> dict[str, Any]:
        return {"delta": {"role": "assistant", "content": text}}


class Completion(Shape):
    kind = "text_completion"
    piece_kind = "text_completion"

    def _said(self, text: str) -> dict[str, Any]:
        return {"text": text}

    def _says(self, text: str) -> dict[str, Any]:
        return {"text": text}


def text_of(value: object) -> str:
    """Return all text in a prompt, whatever its shape."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return text_of(value.get("content") or value.get("text") or "")
    if isinstance(value, Sequence):
        return " ".join(text_of(part) for part in value)
    return ""


def _usage(prompt_tokens: int, tokens: int) -> dict[str, int]:
    return {"prompt_tokens": prompt_tokens, "completion_tokens": tokens, "total_tokens": prompt_tokens + tokens}
