"""Raw objects to the API's types. Pure; called wherever an object comes in.

The status is ours: what a later version has added to it is passed over, so that a roll-back keeps what was last known;
one that does not parse nevertheless (written by hand) is read as not written at all, and replaced. A spec that does not
parse is a ``Reject``: the schema that let it in is of another version.
"""

from typing import TypeVar

from pydantic import ValidationError

from tandem_operator import conditions
from tandem_operator.api.v1alpha1 import CloudEndpoint, CloudEndpointStatus, ModelDeployment, ModelDeploymentStatus, Raw
from tandem_operator.errors import Reject

T = TypeVar("T", ModelDeployment, CloudEndpoint)
S = TypeVar("S", ModelDeploymentStatus, CloudEndpointStatus)


def parse(model: type[T], raw: Raw) -> T:
    """Return a ModelDeployment or CloudEndpoint; ``Reject`` names the field that is not understood."""
    try:
        return model.model_validate(raw)
    except ValidationError:
        pass  # was it the status?
    try:
        return model.model_validate({key: value for key, value in raw.items() if key != "status"})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise Reject(conditions.INVALID_SPEC, f"{field}: {first['msg']}") from error


def parse_status(model: type[S], raw: Raw) -> S:
    """Return the status of an object alone, an empty one when it is not understood."""
    try:
        return model.model_validate(raw.get("status") or {})
    except ValidationError:
        return model()
