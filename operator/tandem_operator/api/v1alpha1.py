"""ModelDeployment and CloudEndpoint. Read by everything; imports nothing of Tandem but the contract."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from tandem_contract.data_class import DataClass


class ApiModel(BaseModel):
    """Camel case outside, immutable, typos refused; field docstrings become ``kubectl explain``."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )


class ObjectMeta(ApiModel):
    """The part of Kubernetes' metadata that Tandem reads."""

    model_config = ConfigDict(extra="ignore")

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    finalizers: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class When(StrEnum):
    """A reason for which a request may leave the premises."""

    OVERFLOW = "Overflow"
    FAILOVER = "Failover"
    BRIDGE = "Bridge"


class Model(ApiModel):
    source: str
    revision: str | None = None
    names: tuple[str, ...] = ()
    max_model_len: int | None = None
    quantization: str | None = None


class Replicas(ApiModel):
    min: int = 1
    max: int = 1


class Resources(ApiModel):
    cpu: str = "1"
    memory: str = "4Gi"
    gpus: str = "1"


class Ray(ApiModel):
    external: str


class Local(ApiModel):
    ray: Ray
    replicas: Replicas = Replicas()
    resources: Resources = Resources()
    engine_args: dict[str, str] = {}


class CloudChoice(ApiModel):
    name: str
    model: str


class Cloud(ApiModel):
    endpoints: tuple[CloudChoice, ...] = ()
    when: tuple[When, ...] = (When.OVERFLOW, When.FAILOVER, When.BRIDGE)


class Policy(ApiModel):
    data_class: DataClass = DataClass.INTERNAL
    regions: tuple[str, ...] = ()


class Slo(ApiModel):
    time_to_first_token_milliseconds: int = 2000


class ModelDeploymentSpec(ApiModel):
    model: Model
    local: Local
    cloud: Cloud = Cloud()
    policy: Policy = Policy()
    slo: Slo = Slo()


class Condition(ApiModel):
    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str = ""
    observed_generation: int = 0
    last_transition_time: datetime


class Target(ApiModel):
    replica: str
    address: str
    port: int


class LocalStatus(ApiModel):
    ready: int = 0
    starting: int = 0
    wanted: int = 0
    targets: tuple[Target, ...] = ()


class ModelDeploymentStatus(ApiModel):
    observed_generation: int = -1
    conditions: tuple[Condition, ...] = ()
    url: str = ""
    names: tuple[str, ...] = ()
    local: LocalStatus = LocalStatus()


class ModelDeployment(ApiModel):
    model_config = ConfigDict(extra="ignore")

    metadata: ObjectMeta
    spec: ModelDeploymentSpec
    status: ModelDeploymentStatus = ModelDeploymentStatus()


class KeyRef(ApiModel):
    name: str
    key: str


class SecretRef(ApiModel):
    secret_ref: KeyRef


class Tls(ApiModel):
    ca_secret_ref: KeyRef


class LabelSelectorRequirement(ApiModel):
    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: tuple[str, ...] = ()


class LabelSelector(ApiModel):
    match_labels: dict[str, str] = {}
    match_expressions: tuple[LabelSelectorRequirement, ...] = ()


class OfferedModel(ApiModel):
    name: str
    context_tokens: Annotated[int, Field(ge=1)]


class CloudEndpointSpec(ApiModel):
    provider: Literal["OpenAI"]
    url: str
    tls: Tls | None = None
    region: str
    max_data_class: DataClass
    allowed_namespaces: LabelSelector | None = None
    credentials: SecretRef
    models: tuple[OfferedModel, ...]


class CloudEndpointStatus(ApiModel):
    observed_generation: int = -1
    conditions: tuple[Condition, ...] = ()
    used_by: tuple[str, ...] = ()


class CloudEndpoint(ApiModel):
    model_config = ConfigDict(extra="ignore")

    metadata: ObjectMeta
    spec: CloudEndpointSpec
    status: CloudEndpointStatus = CloudEndpointStatus()


Raw = dict[str, Any]
"""A Kubernetes object as the API server sent it."""
