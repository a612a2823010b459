"""The page that explains denials names every word, in the order of the checks."""

import re
from pathlib import Path

from tandem_serving.gateway.guard_decide import Word

PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "guard.md"


def test_every_word_of_denial_is_explained_in_the_order_of_the_checks() -> None:
    explained = re.findall(r"^\| `([a-z_]+)` \|", PAGE.read_text(), re.MULTILINE)
    assert explained == [word.value for word in Word]
