"""Which of vLLM's paths a replica answers, by exact name. Pure.

vLLM's app has paths that stop it, load adapters, run code in its workers or show its settings. What is not listed
here does not exist, also for those who reach the replica's port without the gateway.
"""

from enum import StrEnum
from typing import Final

HEALTH: Final = "/tandem/healthz"


class Kind(StrEnum):
    """What the middleware does with a path."""

    HEALTH = "health"
    INFERENCE = "inference"
    """Admission and the bound on the first token."""

    OTHER = "other"
    """Passed through at once: it costs the engine nothing."""


_METHODS: Final[dict[str, tuple[str, Kind]]] = {
    HEALTH: ("GET", Kind.HEALTH),
    "/metrics": ("GET", Kind.OTHER),
    "/version": ("GET", Kind.OTHER),
    "/v1/models": ("GET", Kind.OTHER),
    "/tokenize": ("POST", Kind.OTHER),
    "/detokenize": ("POST", Kind.OTHER),
    "/v1/messages/count_tokens": ("POST", Kind.OTHER),
    **dict.fromkeys(
        (
            "/v1/chat/completions",
            "/v1/completions",
            "/v1/responses",
            "/v1/messages",
            "/v1/embeddings",
            "/v2/embed",
            "/pooling",
            "/classify",
            "/score",
            "/v1/score",
            "/rerank",
            "/v1/rerank",
            "/v2/rerank",
            "/v1/audio/transcriptions",
            "/v1/audio/translations",
        ),
        ("POST", Kind.INFERENCE),
    ),
}


def within(path: str, prefix: str) -> str | None:
    """Return what follows ``prefix``; None when ``path`` is not below it: ``/app2/x`` is not below ``/app``."""
    rest = path.removeprefix(prefix)
    return rest if path.startswith(prefix) and rest.startswith("/") else None


def kind(method: str, path: str) -> Kind | str | None:
    """Return what to do with a path, the method that it wants instead, or None when it does not exist."""
    wanted = _METHODS.get(path)
    if wanted is None:
        return None
    allowed, what = wanted
    return what if method in {allowed, "HEAD" if allowed == "GET" else allowed} else allowed
