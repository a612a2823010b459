"""How many tokens a request's prompt has, guessed from its bytes before anything is tokenised. Pure.

Media inside the JSON (``data:`` URLs) would count as text a thousand times over; each counts as a fixed number.
"""

import re
from dataclasses import dataclass
from typing import Final

FIRST_GUESS_BYTES_PER_TOKEN: Final = 4.0
TOKENS_PER_MEDIUM: Final = 512
_FADE: Final = 0.95
_MEDIUM: Final = re.compile(rb'"data:[a-z]+/[^"]*"')


@dataclass(frozen=True)
class PromptSize:
    """Text bytes and media of one request."""

    text_bytes: int
    media: int


@dataclass(frozen=True)
class BytesPerToken:
    """Learned from prompts whose tokens the engine counted: other languages and templates have other ratios."""

    value: float = FIRST_GUESS_BYTES_PER_TOKEN

    def after(self, size: PromptSize, tokens: int) -> "BytesPerToken":
        text_tokens = tokens - size.media * TOKENS_PER_MEDIUM
        if text_tokens < 1 or size.text_bytes < 1:
            return self
        seen = min(max(size.text_bytes / text_tokens, 0.5), 64.0)
        return BytesPerToken(_FADE * self.value + (1 - _FADE) * seen)

    def tokens(self, size: PromptSize, *, most: int) -> int:
        """Return the guess, from 1 to ``most``: the engine refuses what is longer by itself."""
        guess = size.text_bytes / self.value + size.media * TOKENS_PER_MEDIUM
        return max(1, min(int(guess), most))


def measure(body: bytes) -> PromptSize:
    """Return the size of a JSON body."""
    if b'"data:' not in body:
        return PromptSize(len(body), 0)
    media = [match.end() - match.start() for match in _MEDIUM.finditer(body)]
    return PromptSize(len(body) - sum(media), len(media))
