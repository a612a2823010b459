"""Where things lie: the checkout, and what is kept outside it between runs."""

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
CRDS = REPOSITORY / "crds"
DEPLOY = REPOSITORY / "deploy"
EXAMPLES = REPOSITORY / "examples"
DEMO = REPOSITORY / ".demo"


def cache() -> Path:
    """Return the folder of things that are slow to make: ``$TANDEM_CACHE``, or the user's cache."""
    if chosen := os.environ.get("TANDEM_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tandem"
