"""How long something has been so."""

from tandem_operator.engines.patience import Patience


def test_time_counts_from_the_first_look_and_ends_with_the_fact() -> None:
    now = 100.0
    patience = Patience(lambda: now)
    assert patience.waited("a", holds=True) == 0
    now = 130.0
    assert patience.waited("a", holds=True) == 30
    assert patience.waited("b", holds=True) == 0, "each key has its own time"
    assert patience.waited("a", holds=False) == 0
    assert patience.waited("a", holds=True) == 0
    now = 140.0
    patience.forget("a")
    assert patience.waited("a", holds=True) == 0
