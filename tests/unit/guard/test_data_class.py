"""The ladder: every comparison goes by rank, and a client can only climb."""

import itertools

import pytest
from tandem_contract.data_class import DataClass, from_header

PAIRS = list(itertools.product(DataClass, repeat=2))


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_every_comparison_goes_by_rank_and_not_by_letters(one: DataClass, other: DataClass) -> None:
    assert (one < other, one <= other, one > other, one >= other) == (
        one.rank < other.rank,
        one.rank <= other.rank,
        one.rank > other.rank,
        one.rank >= other.rank,
    )


@pytest.mark.parametrize(("named", "floor"), PAIRS)
def test_a_client_never_lowers_the_class_of_its_request(named: DataClass, floor: DataClass) -> None:
    got = from_header(named.value, floor=floor)
    assert got.rank == max(named.rank, floor.rank)


@pytest.mark.parametrize("value", ["", "public", "Secret", "Public, Internal", "Public\x00"])
def test_a_class_that_nobody_defined_counts_as_restricted(value: str) -> None:
    assert from_header(value, floor=DataClass.PUBLIC) is DataClass.RESTRICTED


def test_no_header_leaves_the_floor() -> None:
    assert from_header(None, floor=DataClass.CONFIDENTIAL) is DataClass.CONFIDENTIAL
