"""The document that Ray Serve is given, and whether it must be given at all. Pure; asked by ``serve_engine``.

``PUT`` replaces the whole document of a Ray cluster, other people's applications included, and has no versions. So a
document is always the one that was just read, with one application of ours put in or taken out, and everything else
exactly as it was. Three values of ours are not in the spec and are carried over from what is deployed, because
changing them alone would replace or reset healthy replicas: the number of replicas, the surge, the attempt.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from enum import Enum, auto
from typing import Any, Final

from tandem_contract.documents import EngineConfig, LiveConfig

from tandem_operator import names
from tandem_operator.api.engine_rules import GPU_MEMORY_UTILIZATION
from tandem_operator.api.v1alpha1 import ModelDeployment, Resources
from tandem_operator.engines.quantities import parse_quantity
from tandem_operator.engines.serve_details import DEPLOYMENT, AppDetails, ServeDetails
from tandem_operator.observed import AppStatus

App = dict[str, Any]
"""One application as Ray Serve's schema has it."""

MAX_ONGOING_REQUESTS: Final = 1_000_000
"""Admission is the replica's own; Serve's limit must never be the one that counts."""

DRAIN_SECONDS: Final = 900
"""How long a replica that is being replaced may finish its answers: as long as the gateway waits for a whole one."""

HEALTH_CHECK_PERIOD_SECONDS: Final = 10
HEALTH_CHECK_TIMEOUT_SECONDS: Final = 60
"""A busy engine answers late; three late answers in a row would cost a healthy replica."""

SURGE_PERCENT: Final = 100
"""New replicas first, then the old ones go: an edit costs no request. Needs room for both."""

NO_SURGE_PERCENT: Final = 0
"""Old ones first: what is left when the cluster has no room for both."""

ATTEMPT: Final = "TANDEM_ATTEMPT"
"""Environment variable that is counted up to make Ray try a failed application again: Ray ignores the same document."""

USED_OF_A_SHARE: Final = Decimal("0.9")
"""How much of a share of a GPU vLLM may plan with; the rest is what CUDA takes beside it, once for each replica."""

_REDACTED: Final = "<redacted>"


def app_document(
    deployment: ModelDeployment,
    *,
    app: str,
    import_path: str,
    model_names: tuple[str, ...],
    token: str,
    overflow: bool,
    cloud: bool,
) -> App:
    """Return the application of one deployment, without the three values that are carried over.

    ``model_names`` are the names that were granted. ``overflow`` and ``cloud`` say what the routes allow: whether a
    full replica may redirect, and whether any cloud may answer at all.
    """
    local = deployment.spec.local
    live = LiveConfig(
        names=model_names,
        token=token,
        overflow=overflow,
        cloud=cloud,
        time_to_first_token_milliseconds=deployment.spec.slo.time_to_first_token_milliseconds,
    )
    return {
        "name": app,
        "route_prefix": names.prefix(app),
        "import_path": import_path,
        "args": _engine_config(deployment, app).model_dump(mode="json"),
        "external_scaler_enabled": True,
        "runtime_env": {},  # a process of its own kind for each replica would start slower; replicas set what they need
        "deployments": [
            {
                "name": DEPLOYMENT,
                "user_config": live.model_dump(mode="json"),
                "ray_actor_options": _actor_options(local.resources),
                "max_ongoing_requests": MAX_ONGOING_REQUESTS,
                "graceful_shutdown_timeout_s": DRAIN_SECONDS,
                "health_check_period_s": HEALTH_CHECK_PERIOD_SECONDS,
                "health_check_timeout_s": HEALTH_CHECK_TIMEOUT_SECONDS,
            }
        ],
    }


class Action(Enum):
    """What one application needs."""

    NOTHING = auto()
    PUT = auto()
    SCALE = auto()
    WAIT_FOR_WAKE = auto()
    """It runs no replica, and a PUT would start one: the new document goes in with the wake."""


@dataclass(frozen=True, slots=True)
class Step:
    action: Action
    app: App | None = None
    """What to put in, for ``PUT``."""


def next_step(found: AppDetails | None, wanted: App, replicas: int, *, retry: bool, cramped: bool) -> Step:
    """Return what brings one application to ``wanted`` with so many replicas.

    ``retry``: Ray gave up on exactly this document, and it is time to ask again. ``cramped``: the cluster has had no
    room for old and new replicas side by side for long enough.
    """
    deployed = found.deployed_app_config if found else None
    target = found.replica.target_num_replicas if found and found.replica else None
    scaled = target is None or target == replicas
    if is_deployed(found, wanted) and not retry and not cramped:
        return Step(Action.NOTHING if scaled else Action.SCALE)
    if replicas == 0:
        return Step(Action.SCALE if target else Action.WAIT_FOR_WAKE)
    app = carried(wanted, deployed, retry=retry, cramped=cramped)
    return Step(Action.PUT, _with_deployment(app, num_replicas=replicas))


def is_deployed(found: AppDetails | None, wanted: App) -> bool:
    """Tell whether Ray was last given ``wanted``, whatever it made of it and however many replicas it runs."""
    deployed = found.deployed_app_config if found else None
    return deployed is not None and _same(carried(wanted, deployed), deployed)


def carried(wanted: App, deployed: App | None, *, retry: bool = False, cramped: bool = False) -> App:
    """Return ``wanted`` with surge and attempt as they are deployed, unless replicas are replaced anyway."""
    rolls = deployed is None or _restarts(wanted) != _restarts(deployed)
    surge = SURGE_PERCENT if rolls else _deployment(deployed).get("max_surge_percent", SURGE_PERCENT)
    count = (0 if rolls else attempt(deployed)) + (1 if retry else 0)
    app = {**wanted, "runtime_env": {"env_vars": {ATTEMPT: str(count)}} if count else {}}
    return _with_deployment(app, max_surge_percent=NO_SURGE_PERCENT if cramped else surge)


def attempt(deployed: App | None) -> int:
    """Return how often this document was tried again; 0 the first time."""
    written = _environment(deployed).get(ATTEMPT, "0")
    return int(written) if written.isdecimal() else 0


def surges(deployed: App | None) -> bool:
    """Tell whether new replicas start beside the old ones."""
    return bool(_deployment(deployed).get("max_surge_percent", 0))


def merged(before: ServeDetails, app: App, *, http_host: str, http_port: int) -> dict[str, Any]:
    """Return the document that was read with ``app`` in it."""
    rest = [config for name, config in _declared(before).items() if name != app["name"]]
    return _document(before, [*rest, app], http_host=http_host, http_port=http_port)


def without(before: ServeDetails, apps: frozenset[str], *, http_host: str, http_port: int) -> dict[str, Any]:
    """Return the document that was read without ``apps``."""
    rest = [config for name, config in _declared(before).items() if name not in apps]
    return _document(before, rest, http_host=http_host, http_port=http_port)


def unwritable(before: ServeDetails, written: Mapping[str, Any], ours: frozenset[str]) -> str:
    """Return why a document built from this answer would harm others; empty = it would not."""
    for name, app in before.applications.items():
        declared = app.source == "declarative" and app.status is not AppStatus.DELETING
        if declared and app.deployed_app_config is None and name not in ours:
            return f"Ray does not say what application {name} is made of, and writing now would delete it"
    if _holds(written, _REDACTED):
        return "Ray hides values of an application's environment from us, and writing now would destroy them"
    return ""


def surprises(before: ServeDetails, written: Mapping[str, Any], after: ServeDetails) -> tuple[str, ...]:
    """Return what shows that somebody else wrote at the same moment; each is a sentence for a person.

    Ray has no versions: a write that ours replaced between reading and writing can only be told by what it leaves.
    """
    given = {app["name"]: app for app in written["applications"]}
    told = []
    for name, config in sorted(given.items()):
        found = after.applications.get(name)
        if found is None or found.deployed_app_config is None:
            told.append(f"another writer removed application {name} at the same moment")
        elif not covers(found.deployed_app_config, config):
            told.append(f"another writer changed application {name} at the same moment")
    for name, found in sorted(after.applications.items()):
        if name in given or name in before.applications:
            continue
        if found.status is AppStatus.DELETING:
            told.append(f"our write removed application {name}, which another writer had added at the same moment")
        elif found.source == "declarative":
            told.append(f"another writer added application {name} at the same moment")
    return tuple(told)


def refused_app(written: Mapping[str, Any], answer: str) -> str:
    """Return the application that a refusal is about; empty when it names none."""
    named = re.search(r"^applications\.(\d+)\b", answer, re.MULTILINE)
    return str(written["applications"][int(named[1])]["name"]) if named else ""


def _engine_config(deployment: ModelDeployment, app: str) -> EngineConfig:
    model, local = deployment.spec.model, deployment.spec.local
    return EngineConfig(
        deployment=names.key(deployment.metadata.namespace, deployment.metadata.name),
        prefix=names.prefix(app),
        source=model.source,
        revision=model.revision,
        max_model_len=model.max_model_len,
        quantization=model.quantization,
        engine_args={**local.engine_args, **_share(local.resources)},
    )


def _share(resources: Resources) -> dict[str, str]:
    """Keep a replica that gets a share of a GPU within it: by itself vLLM takes most of the whole one.

    Four digits, as fine as Ray's own shares, so that the smallest one is not rounded to nothing.
    """
    gpus = parse_quantity(resources.gpus)
    if gpus == 0 or gpus >= 1:
        return {}
    used = (gpus * USED_OF_A_SHARE).quantize(Decimal("0.0001"), ROUND_FLOOR)
    return {GPU_MEMORY_UTILIZATION: f"{used.normalize():f}"}


def _actor_options(resources: Resources) -> dict[str, float]:
    return {
        "num_cpus": float(parse_quantity(resources.cpu)),
        "num_gpus": float(parse_quantity(resources.gpus)),
        "memory": float(parse_quantity(resources.memory)),
    }


def _declared(before: ServeDetails) -> dict[str, App]:
    """What the document consists of now: applications that code deployed are not in it and stay out of it."""
    return {name: app.deployed_app_config for name, app in before.applications.items() if app.deployed_app_config}


def _document(before: ServeDetails, apps: list[App], *, http_host: str, http_port: int) -> dict[str, Any]:
    """Keep what the whole document says beside its applications; Serve's first document says where it listens."""
    rest: dict[str, Any] = {"http_options": {"host": http_host, "port": http_port}}
    if before.started:
        rest = {
            "http_options": before.http_options,
            "grpc_options": before.grpc_options,
            "target_capacity": before.target_capacity,
        }
    return {**{key: value for key, value in rest.items() if value is not None}, "applications": apps}


def _deployment(app: App | None) -> dict[str, Any]:
    written = (app or {}).get("deployments") or []
    return next((dict(each) for each in written if each.get("name") == DEPLOYMENT), {})


def _with_deployment(app: App, **values: int) -> App:
    return {**app, "deployments": [{**_deployment(app), **values}]}


def _restarts(app: App | None) -> tuple[Any, ...]:
    """Everything whose change replaces replicas, but for the attempt."""
    environment = {key: value for key, value in _environment(app).items() if key != ATTEMPT}
    app = app or {}
    return app.get("import_path"), app.get("args"), environment, _deployment(app).get("ray_actor_options")


def _environment(app: App | None) -> dict[str, str]:
    return dict(((app or {}).get("runtime_env") or {}).get("env_vars") or {})


def covers(deployed: App, written: App) -> bool:
    """Tell whether Ray has what it was given, number of replicas included."""
    return _same(written, deployed, counts=True)


def _same(wanted: App, deployed: App, *, counts: bool = False) -> bool:
    """Compare what we wrote: Serve adds keys of the whole document (logging) to the applications in it."""
    return all(_without_counts(wanted, counts)[key] == _without_counts(deployed, counts).get(key) for key in wanted)


def _without_counts(app: App, counts: bool) -> App:
    if counts:
        return app
    deployments = [{k: v for k, v in each.items() if k != "num_replicas"} for each in app.get("deployments", [])]
    return {**app, "deployments": deployments}


def _holds(value: object, text: str) -> bool:
    if isinstance(value, Mapping):
        return any(_holds(each, text) for each in value.values())
    if isinstance(value, list):
        return any(_holds(each, text) for each in value)
    return value == text
