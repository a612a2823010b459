"""Kubernetes quantities as numbers."""

from decimal import Decimal

import pytest
from tandem_operator.engines.quantities import parse_quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4", Decimal(4)),
        ("0.5", Decimal("0.5")),
        ("500m", Decimal("0.5")),
        ("1Ki", Decimal(1024)),
        ("512Mi", Decimal(2) ** 29),
        ("16Gi", Decimal(2) ** 34),
        ("1Ti", Decimal(2) ** 40),
        ("2k", Decimal(2000)),
        ("3G", Decimal(3_000_000_000)),
    ],
)
def test_quantities_are_exact(text: str, value: Decimal) -> None:
    assert parse_quantity(text) == value


@pytest.mark.parametrize("text", ["", "Gi", "four", "-1", "1Gi Gi", "1iG", "NaN", "Infinity", "1mm"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        parse_quantity(text)
