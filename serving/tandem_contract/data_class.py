"""The ladder of data classes. Used by the API, the guard's policy and the guard itself."""

from enum import StrEnum


class DataClass(StrEnum):
    """How sensitive a request's content is: Public < Internal < Confidential < Restricted."""

    PUBLIC = "Public"
    INTERNAL = "Internal"
    CONFIDENTIAL = "Confidential"
    RESTRICTED = "Restricted"

    @property
    def rank(self) -> int:
        """Position on the ladder, 0 for Public."""
        return list(DataClass).index(self)

    # All four, spelt out: str has them already, so functools.total_ordering would leave three comparing letters.
    def __lt__(self, other: object) -> bool:
        return self.rank < other.rank if isinstance(other, DataClass) else NotImplemented

    def __le__(self, other: object) -> bool:
        return self.rank <= other.rank if isinstance(other, DataClass) else NotImplemented

    def __gt__(self, other: object) -> bool:
        return self.rank > other.rank if isinstance(other, DataClass) else NotImplemented

    def __ge__(self, other: object) -> bool:
        return self.rank >= other.rank if isinstance(other, DataClass) else NotImplemented


def from_header(value: str | None, *, floor: DataClass) -> DataClass:
    """Return the class of a request that named ``value``: never below ``floor``, Restricted when unknown."""
    if value is None:
        return floor
    try:
        named = DataClass(value.strip())
    except ValueError:
        return DataClass.RESTRICTED
    return max(floor, named)
