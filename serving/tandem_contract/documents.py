"""The JSON documents that travel beside Envoy's resources, and to replicas.

The operator writes them, the guard and the replica read them. Unknown fields are refused: a document from
a newer operator is not half understood, it is not understood, and the reader says so.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from tandem_contract.data_class import DataClass
from tandem_contract.headers import Reason


class Document(BaseModel):
    """Immutable, strict, camel case nowhere: these never meet a user's YAML."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class CloudChoice(Document):
    """One cloud endpoint that a deployment may use, and the model to ask there."""

    endpoint: str
    """Name of a CloudEndpoint."""

    model: str
    """What the request's ``model`` becomes."""


class DeploymentPolicy(Document):
    """What requests for one ModelDeployment may do. Resource name: ``namespace/name``."""

    deployment: str
    """``namespace/name``."""

    names: tuple[str, ...]
    """Model names that clients may use, ``namespace/name`` among them."""

    created_seconds: int
    """Creation time of the deployment, Unix seconds; ``created`` in ``/v1/models``."""

    prefix: str
    """Path prefix of the Serve app, ``/`` first and none last; stripped before a request leaves."""

    token: Annotated[str, Field(repr=False)]
    """What a redirect from this deployment's replicas carries."""

    data_class: DataClass
    """Floor for every request."""

    regions: tuple[str, ...] = ()
    """Regions where data may go; empty = anywhere that an endpoint is allowed."""

    when: tuple[Reason, ...] = ()
    """Reasons for which a request may leave."""

    clouds: tuple[CloudChoice, ...] = ()
    """Endpoints in the order in which they are tried."""


class EndpointPolicy(Document):
    """What one CloudEndpoint accepts. Resource name: the endpoint's name."""

    endpoint: str
    destination: str
    """Digest of the place that this was written for; nothing leaves by a way to another one."""

    authority: str
    """Host header towards the provider, with the port when it is not 443."""

    base_path: str
    """Path of ``spec.url``, without a slash at the end: ``/v1``."""

    region: str
    max_data_class: DataClass
    namespaces: tuple[str, ...]
    """Namespaces that may use it: those with deployments that name it and match ``allowedNamespaces``."""

    models: dict[str, int]
    """Models that it offers, each with the tokens of prompt plus answer that it takes."""


class Credential(Document):
    """A cloud key. Resource name: the endpoint's name. Held in memory only: never on disk, never in Envoy."""

    endpoint: str
    destination: str
    """Digest of the place that the key was published for; it goes nowhere else."""

    authorization: SecretStr
    """Whole value of the ``authorization`` header."""


class Freshness(Document):
    """The operator's heartbeat. Resource name: ``operator``. A policy without a recent one is stale."""

    observed_seconds: int
    """When the operator last knew that its view of the API server was current, Unix seconds."""


class EngineConfig(Document):
    """What a replica's engine is built from: the Serve app's ``args``. A change replaces replicas."""

    deployment: str
    """``namespace/name``."""

    prefix: str
    """Route prefix of the app, as Envoy sends it."""

    source: str
    """``spec.model.source``, as written."""

    revision: str | None = None
    max_model_len: int | None = None
    """Tokens of context; None = what the checkpoint says."""

    quantization: str | None = None
    engine_args: dict[str, str] = {}
    """vLLM flags by exact name, without the dashes in front; from the allow-list."""


class LiveConfig(Document):
    """What a running replica takes over without a restart: the Serve deployment's ``user_config``."""

    names: tuple[str, ...]
    """Model names that clients may use."""

    token: Annotated[str, Field(repr=False)]
    """Sent with a redirect."""

    overflow: bool
    """Whether a request that would wait too long may be redirected to a cloud."""

    cloud: bool
    """Whether any cloud may answer for this deployment: if not, a full replica's 429 is final."""

    time_to_first_token_milliseconds: int
    """The objective that admission predicts against, and the bound that it keeps."""
