"""What a structural schema cannot say is refused here, with the field's name."""

from typing import Annotated

import pytest
from pydantic import Field
from tandem_operator.api.common import ApiModel
from tandem_operator.api.structural import NotStructuralError, structural


class Floating(ApiModel):
    seconds: float
    """A float."""


class Silent(ApiModel):
    words: str


class EitherOr(ApiModel):
    value: int | str
    """Two types."""


class Exclusive(ApiModel):
    value: Annotated[int, Field(gt=0)]
    """A limit that Kubernetes reads differently."""


class Misplaced(ApiModel):
    values: Annotated[tuple[str, ...], Field(json_schema_extra={"maxLength": 3})]
    """A string's limit on a list."""


@pytest.mark.parametrize(
    ("model", "complaint"),
    [
        (Floating, r"Floating\.seconds: type number"),
        (Silent, r"Silent\.words: needs a docstring"),
        (EitherOr, r"EitherOr\.value: a field has one type"),
        (Exclusive, r"Exclusive\.value: a structural schema has no exclusiveMinimum"),
        (Misplaced, r"Misplaced\.values: maxLength means nothing for array"),
    ],
)
def test_refuses(model: type[ApiModel], complaint: str):
    with pytest.raises(NotStructuralError, match=complaint):
        structural(model, defaults=True)


class Inner(ApiModel):
    """Inside."""

    size: Annotated[int, Field(ge=1, le=9)] = 3
    """How large."""

    note: str | None = None
    """Anything."""


class Outer(ApiModel):
    """Outside."""

    inner: Inner = Inner()
    words: tuple[str, ...] = ()
    """Some words,
    on two lines."""

    many_inners: tuple[Inner, ...] = ()
    """Several."""


def test_a_nested_type_is_written_out_with_defaults_where_they_are_seen():
    schema = structural(Outer, defaults=True)

    assert schema["properties"]["inner"] == {
        "description": "Inside.",
        "type": "object",
        "default": {"size": 3},
        "properties": {
            "size": {
                "description": "How large. Default: 3. Range: 1 to 9.",
                "type": "integer",
                "default": 3,
                "minimum": 1,
                "maximum": 9,
            },
            "note": {"description": "Anything.", "type": "string"},
        },
    }
    assert schema["properties"]["words"] == {
        "description": "Some words, on two lines.",
        "type": "array",
        "items": {"type": "string"},
    }
    assert schema["properties"]["manyInners"]["items"]["properties"]["size"]["default"] == 3


def test_without_defaults_none_is_written():
    assert "default" not in str(structural(Outer, defaults=False)).replace("Default", "default")
