"""What both kinds share: the base of every API type, metadata, conditions, references and names."""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema

from tandem_operator.api.rules import VALIDATIONS, MapBy, Rule, matches

Raw = dict[str, Any]
"""A Kubernetes object as the API server sent it."""


class ApiModel(BaseModel):
    """Camel case outside, immutable, typos refused; field docstrings become ``kubectl explain``."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )

    rules: ClassVar[tuple[Rule, ...]] = ()
    """What must hold between the fields of one object."""

    @model_validator(mode="after")
    def _keeps_its_rules(self) -> Self:
        for rule in self.rules:
            rule.check(self)
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        result = handler.resolve_ref_schema(handler(schema))
        if cls.rules:
            result[VALIDATIONS] = [rule.to_schema() for rule in cls.rules]
        return result


class StatusModel(ApiModel):
    """A part of a status. What a later version has written beside it is passed over: the rest is the last known."""

    model_config = ConfigDict(extra="ignore")


class ObjectMeta(ApiModel):
    """The part of Kubernetes' metadata that Tandem reads."""

    model_config = ConfigDict(extra="ignore")

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    finalizers: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class Condition(StatusModel):
    """One aspect of an object's state, as `kubectl wait --for=condition=...` reads it."""

    type: Annotated[str, Field(max_length=64)]
    """Which aspect, one word. Example: Ready."""

    status: Literal["True", "False", "Unknown"]
    """Whether it holds. Unknown: Tandem could not find out, and changes nothing meanwhile. Example: True."""

    reason: Annotated[
        str,
        Field(max_length=128),
        matches("[A-Za-z]([A-Za-z0-9_]*[A-Za-z0-9])?", "one CamelCase word"),
    ]
    """Why, one CamelCase word for programs. Example: NoReadyReplica."""

    message: Annotated[str, Field(max_length=32768)] = ""
    """Why, and what to do, in words for people. Example: replica 0: file:///models/x does not exist on node a."""

    observed_generation: Annotated[int, Field(ge=0)] = 0
    """The metadata.generation that this was found for: older than the object's own = not looked at yet. Example: 3."""

    last_transition_time: datetime
    """When status last changed. Example: 2026-01-31T12:00:00Z."""


Conditions = Annotated[tuple[Condition, ...], Field(max_length=16), MapBy("type")]

NAME_RULE = matches(
    "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?",
    "use lower-case letters, digits and -, a letter or digit first and last, at most 63 characters",
)

Region = Annotated[str, Field(max_length=63), NAME_RULE]


class KeyRef(ApiModel):
    """One entry of a Secret in the operator's own namespace; Secrets elsewhere are never read."""

    name: Annotated[
        str,
        Field(max_length=253),
        matches(
            r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*",
            "give the name of a Secret in the operator's namespace: lower-case letters, digits, - and .",
        ),
    ]
    """Name of a Secret in the operator's namespace. Example: openai-eu. Change it when the value moves to another
    Secret; a new value in the same Secret is taken over by itself."""

    key: Annotated[
        str,
        Field(max_length=253),
        matches("[-._a-zA-Z0-9]+", "give a key of the Secret's data: letters, digits, -, _ and ."),
    ]
    """Key in the Secret's `data`. Example: api-key. Change it when the value moves to another key."""
