"""The app's ``args`` as Serve hands them over, checked again: whoever can write to Ray can write anything. Pure."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from tandem_contract import engine_args
from tandem_contract.documents import EngineConfig

from tandem_serving.replica.engine import CannotStartError


def read_engine_config(args: Mapping[str, Any]) -> EngineConfig:
    """Return ``args`` as the document that they are; ``CannotStartError`` names what is wrong in one line."""
    try:
        config = EngineConfig.model_validate(args)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CannotStartError(f"the app's args: {where}: {first['msg']}") from None
    if found := engine_args.problems(config.engine_args):
        raise CannotStartError("engineArgs: " + "; ".join(found))
    return config
