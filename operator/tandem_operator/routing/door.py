"""What happens to a client's headers at the door, before anything reads them. Used by the gateway's listener.

Early mutation runs once per client request and not again on Envoy's own redirect, so what a replica sends with its
redirect survives and what a client sends does not.
"""

import re
from collections.abc import Sequence
from typing import Final

from tandem_contract import headers

from tandem_operator.routing.proto import Message, extension, header

HONOURED = (headers.DATA_CLASS, headers.ROUTE)
"""The only ``x-tandem-*`` headers that a client may send."""


_IS_JSON: Final = "request.headers['content-type'].matches('(?i)^application/json *(;.*)?$')"
_CONTENT_TYPE: Final = f"%CEL({_IS_JSON} ? 'application/json' : 'text/plain')%"
"""`transform` reads any content type that has ``application/json`` in it, in small letters. JSON may be written
otherwise, and ``text/plain; x=application/json`` is what a web page may send from a browser without asking us first."""


def make_early_mutations() -> list[Message]:
    """Return the HCM's ``early_header_mutation_extensions``."""
    return [
        extension(
            "envoy.http.early_header_mutation.header_mutation",
            "http.early_header_mutation.header_mutation.v3.HeaderMutation",
            mutations=[
                *(remove_regex(regex) for regex in others_than(headers.PREFIX, HONOURED)),
                remove_prefix(headers.ENVOY_PREFIX),
                {"append": header("content-type", _CONTENT_TYPE, "OVERWRITE_IF_EXISTS")},
            ],
        )
    ]


def remove_prefix(prefix: str) -> Message:
    """Return the mutation that removes every header that begins with ``prefix``."""
    return {"remove_on_match": {"key_matcher": {"prefix": prefix}}}


def remove_regex(regex: str) -> Message:
    """Return the mutation that removes every header whose whole name matches ``regex``."""
    return {"remove_on_match": {"key_matcher": {"safe_regex": {"regex": regex}}}}


def others_than(prefix: str, kept: Sequence[str]) -> list[str]:
    """Return regexes that together match the names that begin with ``prefix`` and are not in ``kept``.

    RE2 cannot look ahead, so it is the tree of the kept names, turned around: at each character of a kept name either
    another one follows or the name ends too early. Envoy takes small programs only: a regex for each first character.
    """
    endings = [name.removeprefix(prefix) for name in kept]
    firsts = sorted({ending[0] for ending in endings})
    return [
        f"{prefix}(?:[^{re.escape(''.join(firsts))}].*)?",
        *(prefix + re.escape(first) + _others(_behind(first, endings)) for first in firsts),
    ]


def _others(kept: Sequence[str]) -> str:
    nexts = sorted({ending[0] for ending in kept if ending})
    other = f"[^{re.escape(''.join(nexts))}].*" if nexts else ".+"
    group = "|".join([other, *(re.escape(character) + _others(_behind(character, kept)) for character in nexts)])
    return f"(?:{group})" if "" in kept else f"(?:{group})?"


def _behind(first: str, names: Sequence[str]) -> list[str]:
    return [name[1:] for name in names if name.startswith(first)]
