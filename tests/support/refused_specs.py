"""Specs that must be refused, each with the field and the advice that a person must read.

One table for two judges: the real API server (tests/integration/api) and the pydantic types (tests/unit/api).
A change is laid over a valid object: see ``support.builders``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from support.builders import a_cloud_endpoint, a_model_deployment


@dataclass(frozen=True)
class Refused:
    """One wrong spec."""

    why: str
    """A sentence for the test's name."""

    change: Mapping[str, Any]
    """What is laid over a valid spec."""

    field: str
    """Path that the message must name."""

    advice: str
    """What the message must say."""


HASH = "5f0b02c75b57c5855da9ae460ce51323ea669d8a"


def _model(**fields: Any) -> dict[str, Any]:
    return {"model": fields}


def _local(**fields: Any) -> dict[str, Any]:
    return {"local": fields}


def _resources(**fields: Any) -> dict[str, Any]:
    return {"local": {"resources": fields}}


def _args(**flags: Any) -> dict[str, Any]:
    return {"local": {"engineArgs": {name.replace("_", "-"): value for name, value in flags.items()}}}


def _cloud(*endpoints: Any, **fields: Any) -> dict[str, Any]:
    return {"cloud": {"endpoints": list(endpoints), **fields}}


GPT = {"name": "cloud-eu", "model": "gpt-5-mini"}

MODEL_DEPLOYMENTS: Final = (
    # model.source
    Refused("no source", _model(source=None), "spec.model.source", "Required value"),
    Refused("a claim", _model(source="pvc://claim/gemma"), "spec.model.source", "Use file:///path"),
    Refused("an object store", _model(source="s3://bucket/gemma"), "spec.model.source", "hold no keys"),
    Refused("a bare path", _model(source="/models/gemma"), "spec.model.source", "start with file:///path or hf://"),
    Refused(
        "a bare repository", _model(source="Qwen/Qwen3-8B"), "spec.model.source", "start with file:///path or hf://"
    ),
    Refused("another scheme", _model(source="https://x.example/m"), "spec.model.source", "start with file:///path"),
    Refused("an empty source", _model(source=""), "spec.model.source", "start with file:///path or hf://"),
    Refused("a relative path", _model(source="file://models/gemma"), "spec.model.source", "give an absolute path"),
    Refused("a way up", _model(source="file:///models/../etc"), "spec.model.source", "no .. and no slash at the end"),
    Refused("a slash at the end", _model(source="file:///models/gemma/"), "spec.model.source", "no slash at the end"),
    Refused("the root folder", _model(source="file:///"), "spec.model.source", "give an absolute path"),
    Refused("a space", _model(source="file:///models/my gemma"), "spec.model.source", "letters, digits and . _ @"),
    Refused("a line break", _model(source="file:///models/a\nb"), "spec.model.source", "start with file:///path"),
    Refused("no organisation", _model(source="hf://gpt2"), "spec.model.source", "give organisation and name"),
    Refused("a commit in the source", _model(source=f"hf://a/b@{HASH}"), "spec.model.source", "spec.model.revision"),
    Refused("a file of a repository", _model(source="hf://a/b/c.bin"), "spec.model.source", "organisation and name"),
    Refused("a source without end", _model(source="file:///" + "a" * 600), "spec.model.source", "may not be more than"),
    # model.revision
    Refused("a revision of a file", _model(revision=HASH), "spec.model.revision", "only an hf:// source has revisions"),
    Refused(
        "a branch", _model(source="hf://a/b", revision="main"), "spec.model.revision", "a branch or a tag can move"
    ),
    Refused("a short commit", _model(source="hf://a/b", revision=HASH[:7]), "spec.model.revision", "40 lower-case hex"),
    Refused(
        "a commit in capitals", _model(source="hf://a/b", revision=HASH.upper()), "spec.model.revision", "lower-case"
    ),
    # model.names
    Refused("a name with a slash", _model(names=["team/chat"]), "spec.model.names[0]", "leave out the /"),
    Refused("a name with a space", _model(names=["my chat"]), "spec.model.names[0]", "use letters, digits and . _ : -"),
    Refused("a name that names a cluster", _model(names=["cloud|x"]), "spec.model.names[0]", "use letters, digits"),
    Refused("an empty name", _model(names=[""]), "spec.model.names[0]", "use letters, digits and . _ : -"),
    Refused(
        "a name that ends in a dot", _model(names=["chat."]), "spec.model.names[0]", "a letter or digit first and last"
    ),
    Refused("a long name", _model(names=["a" * 64]), "spec.model.names[0]", "may not be more than 63"),
    Refused("a name twice", _model(names=["chat", "chat"]), "spec.model.names", "name each value once"),
    Refused("too many names", _model(names=[f"n{i}" for i in range(17)]), "spec.model.names", "at most 16 items"),
    # model.maxModelLen, model.quantization
    Refused("no tokens", _model(maxModelLen=0), "spec.model.maxModelLen", "greater than or equal to 1"),
    Refused("half a token", _model(maxModelLen=0.5), "spec.model.maxModelLen", "must be of type integer"),
    Refused("tokens as text", _model(maxModelLen="8k"), "spec.model.maxModelLen", "must be of type integer"),
    Refused("too many tokens", _model(maxModelLen=10**9), "spec.model.maxModelLen", "less than or equal to 10000000"),
    Refused("unknown quantization", _model(quantization="AWQ"), "spec.model.quantization", 'supported values: "awq"'),
    # local.ray
    Refused("no local", {"local": None}, "spec.local", "Required value"),
    Refused("no Ray cluster", _local(ray=None), "spec.local.ray", "Required value"),
    Refused("a Ray cluster of its own", {"local": {"ray": {"external": None}}}, "spec.local.ray.external", "Required"),
    Refused(
        "a URL for Ray", {"local": {"ray": {"external": "http://evil:8265"}}}, "spec.local.ray.external", "lower-case"
    ),
    Refused("an empty Ray cluster", {"local": {"ray": {"external": ""}}}, "spec.local.ray.external", "use lower-case"),
    # local.replicas
    Refused("no replica", _local(replicas={"min": 0}), "spec.local.replicas.min", "greater than or equal to 1"),
    Refused(
        "max below min", _local(replicas={"min": 3, "max": 2}), "spec.local.replicas.max", "raise max or lower min"
    ),
    Refused(
        "min above the default of max", _local(replicas={"min": 2, "max": None}), "spec.local.replicas.max", "raise"
    ),
    Refused("too many replicas", _local(replicas={"max": 65}), "spec.local.replicas.max", "less than or equal to 64"),
    # local.resources
    Refused("cores as a number", _resources(cpu=4), "spec.local.resources.cpu", "must be of type string"),
    Refused("no core", _resources(cpu="0"), "spec.local.resources.cpu", 'such as "4", "0.5" or "500m"'),
    Refused("cores with a unit", _resources(cpu="4 cores"), "spec.local.resources.cpu", "as a quoted string"),
    Refused("negative cores", _resources(cpu="-1"), "spec.local.resources.cpu", "give cores above 0"),
    Refused("memory without a unit", _resources(memory="16"), "spec.local.resources.memory", "Mi, Gi or Ti"),
    Refused("memory in gigabytes", _resources(memory="16GB"), "spec.local.resources.memory", '"512Mi" or "16Gi"'),
    Refused("a fraction of memory", _resources(memory="1.5Gi"), "spec.local.resources.memory", "a whole number"),
    Refused("one and a half GPUs", _resources(gpus="1.5"), "spec.local.resources.gpus", "a share of one below 1"),
    Refused("no share of a GPU", _resources(gpus="0.0"), "spec.local.resources.gpus", '"0" for the CPU'),
    Refused("GPUs as a number", _resources(gpus=1), "spec.local.resources.gpus", "must be of type string"),
    # local.engineArgs
    Refused("a flag that runs code", _args(trust_remote_code="true"), "spec.local.engineArgs", "only these vLLM flags"),
    Refused("a flag that imports a class", _args(middleware="os.system"), "spec.local.engineArgs", "only these vLLM"),
    Refused("an abbreviated flag", _args(max_num_seq="8"), "spec.local.engineArgs", "by exact name"),
    Refused(
        "a flag with dashes", {"local": {"engineArgs": {"--seed": "1"}}}, "spec.local.engineArgs", "without dashes"
    ),
    Refused(
        "a flag that is a field",
        _args(max_model_len="8"),
        "spec.local.engineArgs",
        "set spec.model.maxModelLen instead",
    ),
    Refused("another model", _args(model="/etc"), "spec.local.engineArgs", "set spec.model.source instead"),
    Refused("zero sequences", _args(max_num_seqs="0"), "spec.local.engineArgs", "max-num-seqs, max-num-batched-tokens"),
    Refused("a switch that is on", _args(enforce_eager="on"), "spec.local.engineArgs", 'must be "true" or "false"'),
    Refused("too much memory", _args(gpu_memory_utilization="1.5"), "spec.local.engineArgs", "above 0 and up to 1"),
    Refused(
        "more of a GPU than its share",
        {"local": {"resources": {"gpus": "0.5"}, "engineArgs": {"gpu-memory-utilization": "0.9"}}},
        "spec.local.engineArgs",
        "gpu-memory-utilization: leave it out when spec.local.resources.gpus is a share",
    ),
    Refused(
        "a cache of its own size in a share of a GPU",
        {"local": {"resources": {"gpus": "0.5"}, "engineArgs": {"kv-cache-memory-bytes": "268435456"}}},
        "spec.local.engineArgs",
        "kv-cache-memory-bytes: leave it out when spec.local.resources.gpus is a share",
    ),
    Refused(
        "several GPUs in a share of one",
        {"local": {"resources": {"gpus": "0.5"}, "engineArgs": {"tensor-parallel-size": "2"}}},
        "spec.local.engineArgs",
        "tensor-parallel-size: a share of a GPU is of one GPU",
    ),
    Refused("a flag in a value", _args(dtype="auto --port 1"), "spec.local.engineArgs", "dtype: must be one of auto"),
    Refused("a value as a number", _args(seed=1), "spec.local.engineArgs", "must be of type string"),
    # cloud
    Refused("no cloud model", _cloud({"name": "cloud-eu"}), "spec.cloud.endpoints[0].model", "Required value"),
    Refused("no endpoint", _cloud({"model": "m"}), "spec.cloud.endpoints[0].name", "Required value"),
    Refused("an endpoint by URL", _cloud({**GPT, "name": "https://x"}), "spec.cloud.endpoints[0].name", "lower-case"),
    Refused(
        "a cloud model with a space", _cloud({**GPT, "model": "a b"}), "spec.cloud.endpoints[0].model", "exact name"
    ),
    Refused("an endpoint twice", _cloud(GPT, GPT), "spec.cloud.endpoints[1]", "Duplicate value"),
    Refused(
        "too many endpoints",
        _cloud(*({**GPT, "name": f"c{i}"} for i in range(9))),
        "spec.cloud.endpoints",
        "must have at most 8 items",
    ),
    Refused("an unknown reason", {"cloud": {"when": ["Always"]}}, "spec.cloud.when[0]", 'supported values: "Overflow"'),
    Refused(
        "a reason of a later version", {"cloud": {"when": ["Escalation"]}}, "spec.cloud.when[0]", "supported values"
    ),
    Refused("a reason twice", {"cloud": {"when": ["Bridge", "Bridge"]}}, "spec.cloud.when", "name each value once"),
    # policy, slo
    Refused("an unknown class", {"policy": {"dataClass": "Secret"}}, "spec.policy.dataClass", '"Public", "Internal"'),
    Refused(
        "a class in lower case", {"policy": {"dataClass": "internal"}}, "spec.policy.dataClass", "supported values"
    ),
    Refused("a region in capitals", {"policy": {"regions": ["EU-DE"]}}, "spec.policy.regions[0]", "use lower-case"),
    Refused("a region twice", {"policy": {"regions": ["eu", "eu"]}}, "spec.policy.regions", "name each value once"),
    Refused(
        "an objective of nothing",
        {"slo": {"timeToFirstTokenMilliseconds": 0}},
        "spec.slo.timeToFirstTokenMilliseconds",
        "greater than or equal to 1",
    ),
    Refused(
        "an objective in seconds",
        {"slo": {"timeToFirstTokenMilliseconds": 0.5}},
        "spec.slo.timeToFirstTokenMilliseconds",
        "must be of type integer",
    ),
    # fields that do not exist
    Refused("a field of a later version", {"autoscaling": {}}, "spec.autoscaling", "unknown field"),
    Refused("an image", _local(image="x"), "spec.local.image", "unknown field"),
    Refused("a misspelt field", {"policy": {"dataclass": "Public"}}, "spec.policy.dataclass", "unknown field"),
)


def _url(url: str | None) -> dict[str, Any]:
    return {"url": url}


def _selector(**fields: Any) -> dict[str, Any]:
    return {"allowedNamespaces": fields}


def _secret(**fields: Any) -> dict[str, Any]:
    return {"credentials": {"secretRef": fields}}


def _offered(*models: Any) -> dict[str, Any]:
    return {"models": list(models)}


CLOUD_ENDPOINTS: Final = (
    Refused("no provider", {"provider": None}, "spec.provider", "Required value"),
    Refused("another provider", {"provider": "Anthropic"}, "spec.provider", 'supported values: "OpenAI"'),
    # url
    Refused("no url", _url(None), "spec.url", "Required value"),
    Refused("no encryption", _url("http://api.example.com/v1"), "spec.url", "start with https://"),
    Refused("no scheme", _url("api.example.com/v1"), "spec.url", "start with https://"),
    Refused("a password", _url("https://me:key@api.example.com/v1"), "spec.url", "spec.credentials.secretRef"),
    Refused("a host behind a user", _url("https://api.example.com@evil.example"), "spec.url", "leave out user"),
    Refused("a query", _url("https://api.example.com/v1?key=x"), "spec.url", "leave out ? and #"),
    Refused("a fragment", _url("https://api.example.com/v1#x"), "spec.url", "leave out ? and #"),
    Refused("an IPv4 address", _url("https://169.254.169.254/v1"), "spec.url", "not an IP address"),
    Refused("an IPv6 address", _url("https://[::1]/v1"), "spec.url", "not an IP address"),
    Refused("a short IPv4 address", _url("https://127.1:8443/v1"), "spec.url", "not an IP address"),
    Refused("an address as one number", _url("https://2130706433/"), "spec.url", "not an IP address"),
    Refused("an address in hexadecimal", _url("https://0x7f.0.0.0x1/v1"), "spec.url", "not an IP address"),
    Refused("a host in capitals", _url("https://API.example.com/v1"), "spec.url", "a lower-case host name"),
    Refused("a dot at the end of the host", _url("https://api.example.com./v1"), "spec.url", "must look like"),
    Refused("a label without end", _url(f"https://{'a' * 64}.example.com/v1"), "spec.url", "must look like"),
    Refused("no host", _url("https:///v1"), "spec.url", "must look like https://api.example.com/v1"),
    Refused("port 0", _url("https://api.example.com:0/v1"), "spec.url", "a port (1 to 65535)"),
    Refused("port 65536", _url("https://api.example.com:65536/v1"), "spec.url", "a port (1 to 65535)"),
    Refused(
        "a slash at the end of the url", _url("https://api.example.com/v1/"), "spec.url", "without a slash at the end"
    ),
    Refused("a way up in the url", _url("https://api.example.com/v1/../x"), "spec.url", "must look like"),
    Refused("an escaped path", _url("https://api.example.com/%2e%2e"), "spec.url", "must look like"),
    Refused("a line break in the url", _url("https://api.example.com/v1\r\nx: y"), "spec.url", "start with https://"),
    Refused(
        "one operation", _url("https://api.example.com/v1/chat/completions"), "spec.url", "give the base of the API"
    ),
    Refused("a url without end", _url("https://api.example.com/" + "a" * 300), "spec.url", "may not be more than 256"),
    # tls, credentials
    Refused("no CA", {"tls": {}}, "spec.tls.caSecretRef", "Required value"),
    Refused("no key of the CA", {"tls": {"caSecretRef": {"name": "ca"}}}, "spec.tls.caSecretRef.key", "Required value"),
    Refused("no credentials", {"credentials": None}, "spec.credentials", "Required value"),
    Refused("no Secret", _secret(name=None), "spec.credentials.secretRef.name", "Required value"),
    Refused("the key itself", {"credentials": {"apiKey": "sk-1"}}, "spec.credentials.apiKey", "unknown field"),
    Refused(
        "a Secret elsewhere", _secret(name="other/s"), "spec.credentials.secretRef.name", "in the operator's namespace"
    ),
    Refused("an empty key", _secret(key=""), "spec.credentials.secretRef.key", "give a key of the Secret's data"),
    Refused("a key with a slash", _secret(key="a/b"), "spec.credentials.secretRef.key", "letters, digits, -, _ and ."),
    # region, maxDataClass
    Refused("no region", {"region": None}, "spec.region", "Required value"),
    Refused("an empty region", {"region": ""}, "spec.region", "use lower-case letters, digits and -"),
    Refused("no data class", {"maxDataClass": None}, "spec.maxDataClass", "Required value"),
    Refused("an unknown data class", {"maxDataClass": "All"}, "spec.maxDataClass", 'supported values: "Public"'),
    # allowedNamespaces
    Refused(
        "namespaces by name", {"allowedNamespaces": ["team-a"]}, "spec.allowedNamespaces", "must be of type object"
    ),
    Refused(
        "a key with a space", _selector(matchLabels={"a b": "c"}), "spec.allowedNamespaces.matchLabels", "team or ex"
    ),
    Refused(
        "a value with a space", _selector(matchLabels={"a": "b c"}), "spec.allowedNamespaces.matchLabels", "at most 63"
    ),
    Refused(
        "In without values",
        _selector(matchExpressions=[{"key": "team", "operator": "In"}]),
        "spec.allowedNamespaces.matchExpressions[0].values",
        "need at least one value",
    ),
    Refused(
        "Exists with values",
        _selector(matchExpressions=[{"key": "team", "operator": "Exists", "values": ["a"]}]),
        "spec.allowedNamespaces.matchExpressions[0].values",
        "take no values",
    ),
    Refused(
        "an unknown operator",
        _selector(matchExpressions=[{"key": "team", "operator": "Gt", "values": ["1"]}]),
        "spec.allowedNamespaces.matchExpressions[0].operator",
        "supported values",
    ),
    # models
    Refused("no models", {"models": None}, "spec.models", "Required value"),
    Refused("an empty list of models", _offered(), "spec.models", "should have at least 1 items"),
    Refused("no context length", _offered({"name": "m"}), "spec.models[0].contextTokens", "Required value"),
    Refused("no context", _offered({"name": "m", "contextTokens": 0}), "spec.models[0].contextTokens", "or equal to 1"),
    Refused(
        "a model with a line break", _offered({"name": "a\nb", "contextTokens": 1}), "spec.models[0].name", "exact name"
    ),
    Refused("a model twice", _offered(*[{"name": "m", "contextTokens": 1}] * 2), "spec.models[1]", "Duplicate value"),
    # fields that do not exist
    Refused("a budget", {"budget": {"usd": "5"}}, "spec.budget", "unknown field"),
)

NAMES: Final = (
    (a_model_deployment("a" * 41), "use at most 40"),
    (a_model_deployment("1model"), "a letter first"),
    (a_model_deployment("my.model"), "use at most 40 lower-case letters, digits and -"),
    (a_cloud_endpoint("my.endpoint"), "use at most 63 lower-case letters, digits and -"),
    (a_cloud_endpoint("a" * 64), "use at most 63"),
)
"""Objects whose name is refused."""
