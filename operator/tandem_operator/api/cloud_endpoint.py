"""``CloudEndpoint``: an account with a cloud provider, what it may see, who may use it. Administrators write it."""

import re
from typing import Annotated, ClassVar, Final, Literal

from pydantic import ConfigDict, Field
from tandem_contract.data_class import DataClass

from tandem_operator.api.common import ApiModel, Conditions, KeyRef, ObjectMeta, Region, StatusModel
from tandem_operator.api.rules import MapBy, Rule, in_order, matches, must_not_match

_LABEL: Final = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_PORT: Final = "[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]"

Url = Annotated[
    str,
    Field(max_length=256),
    in_order(
        matches("https://.*", "start with https://: requests carry a key and users' text"),
        must_not_match(
            ".*@.*", "leave out user and password: put the key in a Secret and name it in spec.credentials.secretRef"
        ),
        must_not_match(".*[?#].*", "leave out ? and # and what follows: requests are added to the path as it is"),
        must_not_match(
            r"https://(\[.*|([^/:]*\.)?([0-9]+|0[xX][0-9a-fA-F]*)\.?([:/].*)?)",
            "give a host name, not an IP address: the provider's certificate is checked against the name",
        ),
        must_not_match(
            ".*/(chat/)?(completions|embeddings|models|responses)/?",
            "give the base of the API, such as https://api.example.com/v1, without the operation at the end",
        ),
        matches(
            rf"https://{_LABEL}(\.{_LABEL})*(:({_PORT}))?(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*",
            "must look like https://api.example.com/v1: a lower-case host name, then a port (1 to 65535) and a path "
            "if any, without a slash at the end",
        ),
    ),
]


class Tls(ApiModel):
    """How the provider's certificate is checked."""

    ca_secret_ref: KeyRef
    """Secret with the certificates (PEM) to trust instead of the system's. Set it for a provider with a private
    certificate authority."""


class SecretRef(ApiModel):
    """Where the key for the provider is."""

    secret_ref: KeyRef
    """Secret with the provider's API key, sent as a bearer token. The gateway's guard alone gets it, in memory."""


_KEY = r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_KEY_LETTERS = "[A-Za-z0-9._/-]+"  # a key's whole grammar over a map is beyond the API server's budget for one rule
_VALUE = r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?"
_VALUE_MESSAGE = "a label's value has at most 63 letters, digits and - _ ., a letter or digit first and last"
LabelValue = Annotated[str, Field(max_length=63), matches(_VALUE, _VALUE_MESSAGE)]


class LabelSelectorRequirement(ApiModel):
    """One condition on a label of the namespace."""

    key: Annotated[str, Field(max_length=317), matches(_KEY, "give a label's key, such as team or example.com/team")]
    """The label's key. Example: team. Change it to select by another label."""

    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    """How the label must relate to `values`. NotIn also selects namespaces without the label. Example: In. Change it to
    select by presence instead of value."""

    values: Annotated[tuple[LabelValue, ...], Field(max_length=64)] = ()
    """Values for In and NotIn; the others go without. Example: [support, sales]. Add the value of each team that may
    use the endpoint."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!(self.operator in ['In', 'NotIn']) || (has(self.values) && size(self.values) > 0)",
            "operator In and NotIn need at least one value; use Exists or DoesNotExist to ask for the label alone",
            lambda self: self.operator not in {"In", "NotIn"} or bool(self.values),
            ".values",
        ),
        Rule(
            "self.operator in ['In', 'NotIn'] || !has(self.values) || size(self.values) == 0",
            "operator Exists and DoesNotExist take no values: remove them, or use In or NotIn",
            lambda self: self.operator in {"In", "NotIn"} or not self.values,
            ".values",
        ),
    )


class LabelSelector(ApiModel):
    """Which namespaces, by their labels; all conditions must hold, {} selects every namespace."""

    match_labels: Annotated[
        dict[str, LabelValue],
        Field(max_length=16),
        Rule(
            f"self.all(key, key.matches(r'^{_KEY_LETTERS}$'))",
            "a label's key looks like team or example.com/team",
            lambda labels: all(re.fullmatch(_KEY_LETTERS, key) for key in labels),
        ),
    ] = Field(default_factory=dict)
    """Labels that a namespace must have, with these values; without any, labels do not matter. Example: {team:
    support}. Every namespace has kubernetes.io/metadata.name. Use it to admit one namespace by name."""

    match_expressions: Annotated[tuple[LabelSelectorRequirement, ...], Field(max_length=16)] = ()
    """More conditions on labels; without any, matchLabels decides alone. Example: [{key: team, operator: In, values:
    [support, sales]}]. Use it to admit several values of a label."""


class OfferedModel(ApiModel):
    """A model that may be asked for here."""

    name: Annotated[
        str,
        Field(max_length=253),
        matches(
            "[A-Za-z0-9]([A-Za-z0-9._:/@+-]*[A-Za-z0-9])?",
            "give the model's exact name at the provider: letters, digits and . _ : / @ + -, a letter or digit first "
            "and last",
        ),
    ]
    """The provider's own name of the model. Example: gpt-5-mini. Add an entry for each model that deployments may ask
    for; others are refused."""

    context_tokens: Annotated[int, Field(ge=1, le=100_000_000)]
    """Longest prompt plus answer that it takes, in tokens, as the provider documents it. A request that cannot fit is
    not sent there. Example: 400000. Change it when the provider does."""


class CloudEndpointSpec(ApiModel):
    """Where the provider is, what it may see, and who may use it."""

    provider: Literal["OpenAI"]
    """The protocol that is spoken: OpenAI, or any server that is compatible with it. Example: OpenAI. Keep it: this
    version speaks no other."""

    url: Url
    """Base of the API, https, by host name. Example: https://api.example.com/v1. Change it to move to another host,
    such as a proxy of your own; requests take the new one at once."""

    tls: Tls | None = None
    """How the provider's certificate is checked; without it, by the system's certificate authorities. Set it for a
    provider with a private certificate authority."""

    region: Region
    """Where the provider processes data: a name of your choosing that deployments list in policy.regions. Example:
    eu-de. Change it only when the provider moves the data."""

    max_data_class: DataClass
    """The most sensitive class of request that it may ever see: Public, Internal, Confidential or Restricted. Example:
    Internal. Raise it only when a contract with the provider covers such data."""

    allowed_namespaces: LabelSelector | None = None
    """Namespaces whose deployments may use it: left out = none, {} = all. Example: {matchLabels: {team: support}}. Set
    it to the teams that pay for it."""

    credentials: SecretRef
    """Where the key for the provider is."""

    models: Annotated[tuple[OfferedModel, ...], Field(min_length=1, max_length=64), MapBy("name")]
    """Models that may be asked for here, at least one. Example: [{name: gpt-5-mini, contextTokens: 400000}]. Add each
    model that deployments name in cloud.endpoints."""


class CloudEndpointStatus(StatusModel):
    """What Tandem found. Written by the operator alone."""

    observed_generation: Annotated[int, Field(ge=-1)] = -1
    """The metadata.generation that this status is about; -1 before the operator saw the object. Example: 2."""

    conditions: Conditions = ()
    """Ready (requests may go there), CredentialsResolved (the Secret has the key)."""

    used_by: tuple[str, ...] = ()
    """Deployments that name it, as namespace/name. Example: [team-a/chat]."""


class CloudEndpoint(ApiModel):
    """One account with a cloud provider: where it is, the most sensitive data it may see, and who may use it."""

    model_config = ConfigDict(extra="ignore")

    metadata: ObjectMeta
    spec: CloudEndpointSpec
    """Where the provider is, what it may see, and who may use it."""

    status: CloudEndpointStatus = CloudEndpointStatus()
    """What Tandem found. Written by the operator alone."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            f"self.metadata.name.matches(r'^{_LABEL}$')",
            "use at most 63 lower-case letters, digits and -, a letter or digit first and last",
            lambda self: re.fullmatch(_LABEL, self.metadata.name, re.ASCII) is not None,
            ".metadata.name",
        ),
    )
