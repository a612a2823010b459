"""The configuration that a running replica takes over at any moment. Written by Serve's ``reconfigure``."""

from tandem_contract.documents import LiveConfig

from tandem_serving.replica.admission import Terms


class Live:
    """The current ``LiveConfig``; none until Serve has given the first."""

    def __init__(self) -> None:
        self._config: LiveConfig | None = None

    def take(self, config: LiveConfig) -> None:
        self._config = config

    @property
    def config(self) -> LiveConfig | None:
        return self._config


def terms(config: LiveConfig) -> Terms:
    """Return what admission needs of ``config``."""
    return Terms(
        objective_seconds=config.time_to_first_token_milliseconds / 1000,
        overflow=config.overflow,
        cloud=config.cloud,
    )
