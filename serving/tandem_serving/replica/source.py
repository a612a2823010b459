"""Where a replica finds its model: ``spec.model.source`` as vLLM's ``--model``. Pure but for one look at the disk."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from tandem_serving.replica.engine import CannotStartError


def resolve(source: str) -> str:
    """Return a folder, or a model's name on Hugging Face; ``CannotStartError`` when this engine has no way to it."""
    parts = urlsplit(source)
    if parts.scheme == "hf":
        return f"{parts.netloc}{parts.path}".strip("/")
    if parts.scheme == "file":
        return _folder(unquote(parts.path))
    raise CannotStartError(f"{source}: a replica on this Ray cluster takes file:// and hf:// sources only")


def is_local(source: str) -> bool:
    return urlsplit(source).scheme == "file"


def _folder(path: str) -> str:
    if not Path(path).is_dir():
        raise CannotStartError(f"{path}: there is no such folder on the Ray cluster's nodes")
    if not (Path(path) / "config.json").is_file():
        raise CannotStartError(f"{path}: there is no config.json, so this is not a model in Hugging Face's format")
    return path
