"""Sizes that operator, gateway and replica must agree on, or the smallest of them decides unasked."""

from typing import Final

BODY_BYTES: Final = 16 * 1024 * 1024
"""Largest request body: Envoy's buffers, the guard's room and the replica's reader all hold one."""
