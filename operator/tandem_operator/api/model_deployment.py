"""``ModelDeployment``: one small model, where it runs, and where its requests may go when it falls short.

Each field's docstring becomes ``kubectl explain`` and ``docs/reference/api.md``: what it means, its unit, an example,
and when to change it. Range and default are added from the field itself.
"""

import re
from enum import StrEnum
from typing import Annotated, ClassVar, Final

from pydantic import ConfigDict, Field
from tandem_contract.data_class import DataClass

from tandem_operator.api.common import NAME_RULE, ApiModel, Conditions, ObjectMeta, Region, StatusModel
from tandem_operator.api.local import Local
from tandem_operator.api.model import Model
from tandem_operator.api.rules import MapBy, Rule, matches, no_value_twice

MAX_NAME_LENGTH: Final = 40
"""Longest ``metadata.name``, in characters: the names of what Tandem makes are built from it."""


class When(StrEnum):
    """A reason for which a request may leave the premises."""

    OVERFLOW = "Overflow"
    FAILOVER = "Failover"
    BRIDGE = "Bridge"


class CloudChoice(ApiModel):
    """One cloud endpoint that may answer, and the model to ask there."""

    name: Annotated[str, Field(max_length=63), NAME_RULE]
    """Name of a CloudEndpoint. Example: openai-eu. Change it to send requests to another provider; a name that does not
    exist (yet) is passed over."""

    model: Annotated[
        str,
        Field(max_length=253),
        matches(
            "[A-Za-z0-9]([A-Za-z0-9._:/@+-]*[A-Za-z0-9])?",
            "give a model of that CloudEndpoint (spec.models) by its exact name: letters, digits and . _ : / @ + -",
        ),
    ]
    """What to ask for there: one of the CloudEndpoint's spec.models. Example: gpt-5-mini. Change it for better or
    cheaper answers; takes effect at once."""


class Cloud(ApiModel):
    """Where requests may go when the local model falls short, and when."""

    endpoints: Annotated[tuple[CloudChoice, ...], Field(max_length=8), MapBy("name")] = ()
    """Cloud endpoints, tried in this order; without any, local answers alone. Example: [{name: openai-eu, model:
    gpt-5-mini}]. Add a second one to survive an outage of the first. Endpoints that this namespace, the data class or
    the regions rule out are passed over."""

    when: Annotated[tuple[When, ...], Field(max_length=3), no_value_twice()] = (
        When.OVERFLOW,
        When.FAILOVER,
        When.BRIDGE,
    )
    """Reasons for which a request may leave. Overflow: local cannot meet the time to first token. Failover: local is
    broken or cannot be reached. Bridge: local has no ready replica yet. Example: [Failover, Bridge]. Change it to spend
    less: without Overflow, requests queue on a full local model instead. [] keeps everything local."""


class Policy(ApiModel):
    """Which requests may leave, and where to."""

    data_class: DataClass = DataClass.INTERNAL
    """Least sensitivity of every request: it only goes to endpoints whose maxDataClass is as high. The header
    x-tandem-data-class raises it for one request, never lowers it. Example: Confidential. Raise it when users may send
    sensitive text without marking it."""

    regions: Annotated[tuple[Region, ...], Field(max_length=16), no_value_twice()] = ()
    """Regions where data may go, by the exact spec.region of CloudEndpoints; without any, wherever an endpoint is
    allowed. Example: [eu-de, eu-fr]. Set it when data must stay within a jurisdiction."""


class Slo(ApiModel):
    """What users are promised."""

    time_to_first_token_milliseconds: Annotated[int, Field(ge=1, le=600_000)] = 2000
    """Time until the first token of an answer, in milliseconds. A request that no replica is predicted to serve in time
    overflows to the cloud, or waits when that is not allowed. Example: 500. Lower it for interactive use, raise it for
    batches and to spend less on the cloud."""


class ModelDeploymentSpec(ApiModel):
    """What should be served, where, and what may leave the premises."""

    model: Model
    """What is served, and under which names."""

    local: Local
    """The model on your own nodes."""

    cloud: Cloud = Cloud()
    """Where requests may go when the local model falls short, and when."""

    policy: Policy = Policy()
    """Which requests may leave, and where to."""

    slo: Slo = Slo()
    """What users are promised."""


class Target(StatusModel):
    """A replica's own HTTP address."""

    replica: Annotated[str, Field(max_length=512)]
    """Name of the replica in Ray Serve. Example: SERVE_REPLICA::app#replica#x1."""

    address: Annotated[str, Field(max_length=253)]
    """IP address, reached from the gateway. Example: 10.0.0.7."""

    port: Annotated[int, Field(ge=1, le=65535)]
    """TCP port. Example: 30000."""


class LocalStatus(StatusModel):
    """What runs on your own nodes, as last seen."""

    ready: Annotated[int, Field(ge=0)] = 0
    """Replicas that answer requests. Example: 1."""

    starting: Annotated[int, Field(ge=0)] = 0
    """Replicas that load the model. Example: 1."""

    wanted: Annotated[int, Field(ge=0)] = 0
    """Replicas that should run. Example: 2."""

    targets: tuple[Target, ...] = ()
    """Addresses of the ready replicas, as last known: what the gateway is compiled from while Ray cannot be asked."""


class ModelDeploymentStatus(StatusModel):
    """What Tandem found and did. Written by the operator alone."""

    observed_generation: Annotated[int, Field(ge=-1)] = -1
    """The metadata.generation that this status is about; -1 before the operator saw the object. Example: 3."""

    conditions: Conditions = ()
    """Ready (requests are answered as the spec promises, also by a bridging cloud), LocalAvailable (a local replica is
    ready), CloudReachable (policy and key let requests go to an endpoint; nothing is sent to find out whether it
    answers), RoutesProgrammed (every gateway knows the routes), and only while true Reconciling and Stalled."""

    url: Annotated[str, Field(max_length=512)] = ""
    """Base URL for OpenAI clients. Example: http://gateway.tandem.svc:8080/v1."""

    names: tuple[str, ...] = ()
    """Model names that clients may use; a name that an older deployment claims is missing. Example: [support,
    team-a/chat]."""

    local: LocalStatus = LocalStatus()
    """What runs on your own nodes, as last seen."""


_NAME = rf"[a-z]([-a-z0-9]{{0,{MAX_NAME_LENGTH - 2}}}[a-z0-9])?"


class ModelDeployment(ApiModel):
    """One small language model on your own nodes behind an OpenAI-compatible address, with a guarded way to a cloud.

    Requests are answered locally; they go to a cloud endpoint only when the local model falls short and the policy
    allows it.
    """

    model_config = ConfigDict(extra="ignore")

    metadata: ObjectMeta
    spec: ModelDeploymentSpec
    """What should be served, where, and what may leave the premises."""

    status: ModelDeploymentStatus = ModelDeploymentStatus()
    """What Tandem found and did. Written by the operator alone."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            f"self.metadata.name.matches(r'^{_NAME}$')",
            f"use at most {MAX_NAME_LENGTH} lower-case letters, digits and -, a letter first, a letter or digit last",
            lambda self: re.fullmatch(_NAME, self.metadata.name, re.ASCII) is not None,
            ".metadata.name",
        ),
    )
