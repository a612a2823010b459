"""``ModelDeployment``: one small model, where it runs, and where its requests may go when it falls short.

Each field's docstring becomes ``kubectl explain`` and ``docs/reference/api.md``: what it means, its unit, an example,
and when to change it. Range and default are added from the field itself.
"""

import re
from enum import StrEnum
from typing import Annotated, ClassVar, Final, Literal

from pydantic import ConfigDict, Field
from tandem_contract.data_class import DataClass
from tandem_contract.engine_args import MAX_FLAGS, MAX_VALUE_LENGTH

from tandem_operator.api.common import NAME_RULE, ApiModel, Conditions, ObjectMeta, Region
from tandem_operator.api.engine_rules import ENGINE_ARGS_RULES
from tandem_operator.api.rules import MapBy, Rule, in_order, matches, must_not_match, no_value_twice

MAX_NAME_LENGTH: Final = 40
"""Longest ``metadata.name``, in characters: the names of what Tandem makes are built from it."""

_NOT_YET = "Use file:///path for a folder that has this path on every node of the Ray cluster, or hf://org/name"


class When(StrEnum):
    """A reason for which a request may leave the premises."""

    OVERFLOW = "Overflow"
    FAILOVER = "Failover"
    BRIDGE = "Bridge"


Source = Annotated[
    str,
    Field(max_length=512),
    in_order(
        must_not_match("pvc://.*", f"pvc:// is not supported: an external Ray cluster mounts no claims. {_NOT_YET}"),
        must_not_match("s3://.*", f"s3:// is not supported: replicas hold no keys for object stores. {_NOT_YET}"),
        matches("(file|hf)://.*", "start with file:///path or hf://org/name"),
        matches(
            r"hf://.*|file://(/\.?[A-Za-z0-9_@=+-][A-Za-z0-9._@=+-]*)+",
            "after file:// give an absolute path, such as file:///models/gemma: letters, digits and . _ @ = + -, "
            "no .. and no slash at the end",
        ),
        matches(
            "file://.*|hf://[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}",
            "after hf:// give organisation and name, such as hf://Qwen/Qwen3-8B-AWQ; a commit goes to "
            "spec.model.revision",
        ),
    ),
]

ModelName = Annotated[
    str,
    Field(max_length=63),
    in_order(
        must_not_match(".*/.*", "leave out the /: <namespace>/<name> always works and needs no entry"),
        matches(
            "[A-Za-z0-9]([A-Za-z0-9._:-]*[A-Za-z0-9])?",
            "use letters, digits and . _ : -, a letter or digit first and last",
        ),
    ),
]

Quantization = Literal[
    "awq",
    "awq_marlin",
    "compressed-tensors",
    "experts_int8",
    "fp8",
    "fp8_per_block",
    "fp8_per_channel",
    "fp8_per_tensor",
    "gptq",
    "gptq_marlin",
    "inc",
    "int8_per_channel_weight_only",
    "modelopt",
    "modelopt_fp4",
    "modelopt_mxfp8",
    "moe_wna16",
    "mxfp4",
    "mxfp8",
    "quark",
    "torchao",
]
"""vLLM's methods, less those that it deprecates and those that fit one model only."""


class Model(ApiModel):
    """What is served, and under which names."""

    source: Source
    """Where the weights are: `file:///path`, a folder that has this path on every node of the Ray cluster, or
    `hf://org/name`, a repository on the Hugging Face Hub that the nodes can reach. Example: hf://Qwen/Qwen3-8B-AWQ.
    Change it to serve another model: replicas are replaced one by one."""

    revision: (
        Annotated[
            str,
            Field(max_length=40),
            matches(
                "[0-9a-f]{40}",
                "give a whole commit, 40 lower-case hexadecimal digits: a branch or a tag can move, and replicas "
                "would differ",
            ),
        ]
        | None
    ) = None
    """Commit of an hf:// source, 40 hexadecimal digits; without it each replica loads what is newest when it starts.
    Example: 5f0b02c75b57c5855da9ae460ce51323ea669d8a. Set it in production; change it to move to another version."""

    names: Annotated[tuple[ModelName, ...], Field(max_length=16), no_value_twice()] = ()
    """What clients may put in `model`; without any, metadata.name. `<namespace>/<name>` always works; a bare name
    belongs to the oldest deployment that claims it. Example: [support, support-v2]. Change it to move clients to
    another model without their help; nothing restarts."""

    max_model_len: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    """Longest prompt plus answer, in tokens; without it, what the checkpoint says. Example: 8192. Lower it when the
    model does not fit the GPU's memory, or to hold more requests at once: replicas are replaced."""

    quantization: Quantization | None = None
    """How weights are quantized, as vLLM names it; without it, what the checkpoint says. Example: awq. Set it to
    quantize while loading (fp8 halves the memory of a 16-bit checkpoint): replicas are replaced."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.revision) || !self.source.startsWith('file://')",
            "remove it: only an hf:// source has revisions; for file:// give each version a path of its own",
            lambda self: self.revision is None or not self.source.startswith("file://"),
            ".revision",
        ),
    )


class Replicas(ApiModel):
    """How many copies of the model run."""

    min: Annotated[int, Field(ge=1, le=64)] = 1
    """Replicas that run, each with the resources below. Example: 2. Raise it when requests wait (overflow to the cloud
    is the sign), or to survive the loss of a node: takes effect without a restart."""

    max: Annotated[int, Field(ge=1, le=64)] = 1
    """Most replicas that may run; today `min` of them do. Example: 4. Raise it together with `min`."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.max >= self.min",
            "must be at least spec.local.replicas.min: raise max or lower min",
            lambda self: self.max >= self.min,
            ".max",
        ),
    )


class Resources(ApiModel):
    """What one replica reserves on a node of the Ray cluster. Quantities are strings: a bare 4 is refused."""

    cpu: Annotated[
        str,
        Field(max_length=12),
        matches(
            r"[1-9][0-9]{0,3}(\.[0-9]{1,3})?|0\.[0-9]{0,2}[1-9][0-9]{0,2}|[1-9][0-9]{0,6}m",
            'give cores above 0 as a quoted string, such as "4", "0.5" or "500m"',
        ),
    ] = "1"
    """CPU cores per replica, as a string. Example: "4". Raise it when tokenizing or many streams keep the cores busy,
    and for gpus "0", where the cores do all the work: replicas are replaced."""

    memory: Annotated[
        str,
        Field(max_length=12),
        matches("[1-9][0-9]{0,8}(Mi|Gi|Ti)", 'give a whole number of Mi, Gi or Ti, such as "512Mi" or "16Gi"'),
    ] = "4Gi"
    """Main memory per replica, in Mi, Gi or Ti. Example: 16Gi. Raise it when loading is killed for memory: the weights
    pass through it once, and without a GPU they stay there. Replicas are replaced."""

    gpus: Annotated[
        str,
        Field(max_length=8),
        matches(
            r"0|0\.[0-9]{0,2}[1-9][0-9]{0,2}|[1-9][0-9]?",
            'give whole GPUs such as "1", a share of one below 1 such as "0.5", or "0" for the CPU, as a quoted string',
        ),
    ] = "1"
    """GPUs per replica, as a string: whole ones, a share of one below 1, or "0" for the CPU. Example: "0.5". Raise it
    when the model needs more memory than one GPU has (with engineArgs tensor-parallel-size), lower it to share a GPU
    between small models: replicas are replaced."""


class Ray(ApiModel):
    """Which Ray cluster runs the replicas."""

    external: Annotated[
        str,
        Field(max_length=63),
        NAME_RULE,
        Rule(
            "self == oldSelf",
            "cannot change: the model would have to be in two clusters at once. Apply a second ModelDeployment, move "
            "spec.model.names to it, then delete this one",
        ),
    ]
    """An existing Ray cluster, by the name that the administrator gave it in the operator's configuration
    (`rayClusters`), where the namespaces that may use it are listed too. Cannot change. Example: gpu-pool. Set it to a
    cluster that your administrator offers to this namespace; an unknown one shows in LocalAvailable."""


EngineArg = Annotated[str, Field(max_length=MAX_VALUE_LENGTH)]


class Local(ApiModel):
    """The model on your own nodes."""

    ray: Ray
    """Which Ray cluster runs the replicas."""

    replicas: Replicas = Replicas()
    """How many copies of the model run."""

    resources: Resources = Resources()
    """What one replica reserves on a node."""

    engine_args: Annotated[dict[str, EngineArg], Field(max_length=MAX_FLAGS), *ENGINE_ARGS_RULES] = Field(
        default_factory=dict
    )
    """vLLM flags by exact name, without the dashes; only flags that cannot run code, read files or change what the
    gateway relies on; without any, vLLM chooses. Values are strings; a switch takes "true" or "false". Example:
    {max-num-seqs: "64"}. Set it to tune memory or batching: replicas are replaced. The allowed flags are listed in
    docs/reference/api.md."""


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


class Target(ApiModel):
    """A replica's own HTTP address."""

    replica: Annotated[str, Field(max_length=512)]
    """Name of the replica in Ray Serve. Example: SERVE_REPLICA::app#replica#x1."""

    address: Annotated[str, Field(max_length=253)]
    """IP address, reached from the gateway. Example: 10.0.0.7."""

    port: Annotated[int, Field(ge=1, le=65535)]
    """TCP port. Example: 30000."""


class LocalStatus(ApiModel):
    """What runs on your own nodes, as last seen."""

    ready: Annotated[int, Field(ge=0)] = 0
    """Replicas that answer requests. Example: 1."""

    starting: Annotated[int, Field(ge=0)] = 0
    """Replicas that load the model. Example: 1."""

    wanted: Annotated[int, Field(ge=0)] = 0
    """Replicas that should run. Example: 2."""

    targets: tuple[Target, ...] = ()
    """Addresses of the ready replicas, as last known: what the gateway is compiled from while Ray cannot be asked."""


class ModelDeploymentStatus(ApiModel):
    """What Tandem found and did. Written by the operator alone."""

    observed_generation: Annotated[int, Field(ge=-1)] = -1
    """The metadata.generation that this status is about; -1 before the operator saw the object. Example: 3."""

    conditions: Conditions = ()
    """Ready (requests are answered as the spec promises, also by a bridging cloud), LocalAvailable (a local replica is
    ready), CloudReachable, RoutesProgrammed (every gateway knows the routes), and only while true Reconciling and
    Stalled."""

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
