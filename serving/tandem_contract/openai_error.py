"""The shape of an error that OpenAI's clients know. Used by whoever answers a client in Tandem's own words."""

from typing import Any


def openai_error(message: str, *, kind: str, code: str, param: str | None = None) -> dict[str, Any]:
    """Return the answer's body; ``kind`` becomes ``type``, whose values are OpenAI's."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
