"""``spec.local``: the Ray cluster, how many replicas, what each reserves, and the engine's flags."""

from typing import Annotated, ClassVar

from pydantic import Field
from tandem_contract.engine_args import MAX_FLAGS, MAX_VALUE_LENGTH

from tandem_operator.api.common import NAME_RULE, ApiModel
from tandem_operator.api.engine_rules import ENGINE_ARGS_RULES, SHARE_RULES
from tandem_operator.api.rules import Rule, matches


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
    between small models: nine tenths of the share become vLLM's gpu-memory-utilization, so that the replicas on it fit
    beside each other. Replicas are replaced."""


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

    rules: ClassVar[tuple[Rule, ...]] = SHARE_RULES
