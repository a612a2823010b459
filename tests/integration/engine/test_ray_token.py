"""A real Ray head under RAY_AUTH_MODE=token, asked without its token: nothing is read, nothing is written."""

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from support.ray_serve import Bench, a_foreign_app
from tandem_lab.ray_head import RayHead
from tandem_operator.clients.ray_metrics import RayMetrics
from tandem_operator.clients.ray_serve import APPLICATIONS, RayServeClient
from tandem_operator.engines.serve_engine import ServeEngine
from tandem_operator.errors import Hold, Retry

TOLD = r"Ray cluster lab refuses the operator's token \((401|403)\): .*tokenFile must hold .*RAY_AUTH_TOKEN"
WRONG = pytest.mark.parametrize(
    "token", [pytest.param("", id="an empty one"), pytest.param("0" * 64, id="another one")]
)


def a_client(serve: Bench, token: str) -> RayServeClient:
    metrics = RayMetrics(CollectorRegistry())
    return RayServeClient(serve.session, cluster="lab", url=serve.head.url, token=lambda: token, metrics=metrics)


async def test_ray_answers_nobody_who_shows_no_token(ray_head: RayHead) -> None:
    async with aiohttp.ClientSession() as session, session.get(ray_head.url + APPLICATIONS) as response:
        assert response.status == 401


@WRONG
async def test_a_token_that_ray_refuses_holds_everything_and_says_where_to_look(serve: Bench, token: str) -> None:
    metrics = RayMetrics(CollectorRegistry())
    engine = ServeEngine(
        a_client(serve, token),
        cluster="lab",
        cluster_uid=serve.cluster_uid,
        http_host="127.0.0.1",
        http_port=serve.head.http_port,
        metrics=metrics,
    )
    app = serve.app()
    with pytest.raises(Hold, match=TOLD):
        await engine.observe(app["name"])
    with pytest.raises(Hold, match=TOLD):
        await engine.apply(app, 1)
    assert await serve.deployed(app["name"]) is None


@WRONG
async def test_a_write_with_a_token_that_ray_refuses_changes_nothing(serve: Bench, token: str) -> None:
    before = await serve.raw()
    client = a_client(serve, token)
    with pytest.raises(Retry, match=TOLD):
        await client.put({"applications": [a_foreign_app("stranger")]})
    with pytest.raises(Retry, match=TOLD):
        await client.scale("stranger", "replica", 2)
    assert (await serve.raw())["applications"] == before["applications"]
