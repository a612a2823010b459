"""Kubernetes quantities as numbers. Pure; the schema has already refused everything else."""

from decimal import Decimal, InvalidOperation
from typing import Final

_FACTORS: Final = {
    "m": Decimal("0.001"),
    "": Decimal(1),
    "k": Decimal(10) ** 3,
    "M": Decimal(10) ** 6,
    "G": Decimal(10) ** 9,
    "T": Decimal(10) ** 12,
    "Ki": Decimal(2) ** 10,
    "Mi": Decimal(2) ** 20,
    "Gi": Decimal(2) ** 30,
    "Ti": Decimal(2) ** 40,
}


def parse_quantity(text: str) -> Decimal:
    """Return ``500m`` as 0.5 and ``16Gi`` as bytes; raises ``ValueError`` for what is not a quantity."""
    number = text.rstrip("kmKMGTi")
    try:
        value = Decimal(number) * _FACTORS[text[len(number) :]]
    except (InvalidOperation, KeyError) as error:
        raise ValueError(f"{text!r} is not a quantity such as 500m, 2 or 16Gi") from error
    if not value.is_finite() or value < 0:
        raise ValueError(f"{text!r} is not a quantity: it must not be negative")
    return value
