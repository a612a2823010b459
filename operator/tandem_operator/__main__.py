"""``python -m tandem_operator``: reads the configuration, puts the parts together, runs until SIGTERM.

Leaders and followers run the same parts; only ``leading`` waits for the Lease. What fails here ends the process with
an error, and whoever started it starts it again: nothing is lost by that.
"""

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
from pathlib import Path

import structlog
from pydantic import ValidationError

from tandem_operator.cache import Key
from tandem_operator.clients.cluster import Cluster, connect
from tandem_operator.clients.ray_metrics import RayMetrics
from tandem_operator.config import OperatorConfig, load_config
from tandem_operator.election import Election
from tandem_operator.leader import Terms
from tandem_operator.leading import Leading
from tandem_operator.metrics import Metrics
from tandem_operator.observing import Observing
from tandem_operator.servers.probes import Probes
from tandem_operator.watching import Watching
from tandem_operator.workqueue import WorkQueue

log = structlog.get_logger("tandem_operator")


async def run(config: OperatorConfig) -> None:
    """Run until cancelled."""
    metrics = Metrics()
    terms = Terms(config.lease_duration_seconds, config.renew_deadline_seconds, config.retry_period_seconds)
    me = config.identity or f"{socket.gethostname()}-{secrets.token_hex(4)}"
    election = Election(me, config.namespace, terms, metrics)
    api = await connect(me)
    try:
        cluster = Cluster(api, metrics, fence=election.writable_seconds)
        queue: WorkQueue[Key] = WorkQueue(metrics, kind=lambda key: key.kind.value)
        observing = Observing(cluster, metrics, relist_seconds=config.relist_seconds, queue=queue)
        watching = Watching(metrics, on_event=observing.on_event, on_gap=observing.on_gap)
        leading = Leading(
            config=config,
            cluster=cluster,
            observing=observing,
            queue=queue,
            ray_metrics=RayMetrics(metrics.registry),
            fence=election.writable_seconds,
        )
        probes = Probes(
            config.probes_address,
            config.probes_port,
            registry=metrics.registry,
            healthy=lambda: observing.alive,
            ready=observing.synced.is_set,
        )
        async with probes, asyncio.TaskGroup() as group:
            group.create_task(observing.run())
            group.create_task(watching.run())
            group.create_task(election.run(cluster, leading.lead))
    finally:
        await api.close()


async def main(config: OperatorConfig) -> None:
    """Run until SIGTERM or SIGINT, then give the Lease back."""
    task = asyncio.create_task(run(config))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


def start_logging() -> None:
    """Log JSON lines to standard error, our own and other libraries'.

    Tracebacks come without local variables: those hold keys.
    """
    tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(tracebacks),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.INFO)
    logging.getLogger("kopf").setLevel(logging.WARNING)  # it tells of every event
    logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)  # it warns of the thread that we want


if __name__ == "__main__":
    start_logging()
    file = os.environ.get("TANDEM_CONFIG_FILE")
    try:
        settings = load_config(Path(file) if file else None)
    except (OSError, ValidationError) as error:
        raise SystemExit(f"tandem_operator: the configuration cannot be used: {error}") from error
    asyncio.run(main(settings))
