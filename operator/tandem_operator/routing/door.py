"""What happens to a client's headers at the door, before anything reads them. Used by the gateway's listener.

Early mutation runs once per client request and not again on Envoy's own redirect, so what a replica sends with its
redirect survives and what a client sends does not.
"""

from collections.abc import Sequence

from tandem_contract import headers

from tandem_operator.routing.proto import Message, extension

HONOURED = (headers.DATA_CLASS, headers.ROUTE)
"""The only ``x-tandem-*`` headers that a client may send."""


def make_early_mutations() -> list[Message]:
    """Return the HCM's ``early_header_mutation_extensions``."""
    return [
        extension(
            "envoy.http.early_header_mutation.header_mutation",
            "http.early_header_mutation.header_mutation.v3.HeaderMutation",
            mutations=[remove_regex(others_than(headers.PREFIX, HONOURED)), remove_prefix("x-envoy-")],
        )
    ]


def remove_prefix(prefix: str) -> Message:
    """Return the mutation that removes every header that begins with ``prefix``."""
    return {"remove_on_match": {"key_matcher": {"prefix": prefix}}}


def remove_regex(regex: str) -> Message:
    """Return the mutation that removes every header whose whole name matches ``regex``."""
    return {"remove_on_match": {"key_matcher": {"safe_regex": {"regex": regex}}}}


def others_than(prefix: str, kept: Sequence[str]) -> str:
    """Return a regex for the names that begin with ``prefix`` and are not in ``kept``.

    RE2 cannot look ahead, so the names that differ are spelt out: each beginning of a kept name that ends there,
    goes on with another character, or goes on past its end.
    """
    endings = [name.removeprefix(prefix) for name in kept]
    beginnings = sorted({ending[:length] for ending in endings for length in range(len(ending) + 1)})
    alternatives = []
    for beginning in beginnings:
        expected = "".join(sorted({e[len(beginning)] for e in endings if e.startswith(beginning) and e != beginning}))
        other = f"[^{expected.replace('-', chr(92) + '-')}].*" if expected else ".+"
        alternatives.append(f"{beginning}{other}")
        if beginning not in endings:
            alternatives.append(beginning)
    return f"{prefix}(?:{'|'.join(alternatives)})"
