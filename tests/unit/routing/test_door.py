"""What a client may say about itself: two of our headers, none of Envoy's."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st
from tandem_contract import headers
from tandem_operator.routing.door import HONOURED, others_than

REGEXES = others_than(headers.PREFIX, HONOURED)

near_misses = st.sampled_from(HONOURED).flatmap(
    lambda name: st.one_of(
        st.integers(len(headers.PREFIX), len(name)).map(lambda length: name[:length]),
        st.text("adeorstu-x_1", min_size=1, max_size=3).map(lambda more: name + more),
        st.tuples(st.integers(len(headers.PREFIX), len(name) - 1), st.sampled_from("adelrtux-_9")).map(
            lambda change: name[: change[0]] + change[1] + name[change[0] + 1 :]
        ),
    )
)
any_name = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", max_size=15).map(lambda rest: headers.PREFIX + rest)


@settings(deadline=None)
@given(st.one_of(near_misses, any_name, st.sampled_from(HONOURED)))
def test_every_tandem_header_but_the_honoured_ones_is_stripped(name: str) -> None:
    stripped = any(re.fullmatch(regex, name) for regex in REGEXES)
    assert stripped is (name not in HONOURED)


@settings(deadline=None)
@given(st.text("abcdefghijklmnopqrstuvwxyz-", max_size=20))
def test_no_other_header_is_stripped(name: str) -> None:
    assert name.startswith(headers.PREFIX) or not any(re.fullmatch(regex, name) for regex in REGEXES)


def test_only_data_class_and_route_are_honoured() -> None:
    assert set(HONOURED) == {"x-tandem-data-class", "x-tandem-route"}
