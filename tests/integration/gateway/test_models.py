"""``/v1/models`` as the agent answers Envoy, over its Unix socket."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from tandem_contract.data_class import DataClass
from tandem_contract.documents import DeploymentPolicy
from tandem_serving.gateway.models import models_app
from tandem_serving.gateway.policy_board import PolicyBoard, PolicyView
from tandem_serving.gateway.probes import on_socket
from yarl import URL


def policy(deployment: str, *names: str) -> DeploymentPolicy:
    return DeploymentPolicy(
        deployment=deployment,
        names=(*names, deployment),
        created_seconds=1_700_000_000,
        prefix="/x",
        token="t",
        data_class=DataClass.PUBLIC,
    )


@pytest.fixture
def board() -> PolicyBoard:
    board = PolicyBoard()
    deployments = [policy("team/support", "support"), policy("other/mini")]
    board.publish(PolicyView(deployments={deployment.deployment: deployment for deployment in deployments}))
    return board


@pytest.fixture
async def agent(board: PolicyBoard, tmp_path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    path = tmp_path / "a.sock"
    async with (
        on_socket(models_app(board), path),
        aiohttp.ClientSession("http://agent", connector=aiohttp.UnixConnector(str(path))) as session,
    ):
        yield session


async def test_the_list_has_openais_shape_and_every_name(agent: aiohttp.ClientSession) -> None:
    async with agent.get("/v1/models") as answer:
        body = await answer.json()
        assert (answer.status, answer.content_type) == (200, "application/json")
        assert answer.headers["x-tandem-destination"] == "gateway"
    assert set(body) == {"object", "data"}
    assert body["object"] == "list"
    assert [model["id"] for model in body["data"]] == ["other/mini", "support", "team/support"]
    assert body["data"][1] == {"id": "support", "object": "model", "created": 1_700_000_000, "owned_by": "team"}


@pytest.mark.parametrize(
    ("path", "model"),
    [
        pytest.param("support", "support", id="a bare name"),
        pytest.param("team/support", "team/support", id="with a slash"),
        pytest.param("team%2Fsupport", "team/support", id="with an encoded slash"),
        pytest.param("team%2fsupport", "team/support", id="with an encoded slash in lower case"),
        pytest.param("support?limit=1", "support", id="with a query"),
    ],
)
async def test_one_model_is_found_by_any_spelling(agent: aiohttp.ClientSession, path: str, model: str) -> None:
    async with agent.get(URL(f"http://agent/v1/models/{path}", encoded=True)) as answer:
        assert answer.status == 200
        assert (await answer.json())["id"] == model


async def test_an_unknown_model_is_openais_error(agent: aiohttp.ClientSession) -> None:
    async with agent.get("/v1/models/nobody") as answer:
        assert answer.status == 404
        assert answer.headers["x-tandem-destination"] == "gateway"
        assert await answer.json() == {
            "error": {
                "message": 'The model "nobody" does not exist.',
                "type": "invalid_request_error",
                "param": "model",
                "code": "model_not_found",
            }
        }


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        pytest.param("DELETE", "/v1/models/support", 405, id="models are not deleted here"),
        pytest.param("POST", "/v1/models", 405, id="nor made"),
        pytest.param("GET", "/v1/modelsandmore", 404, id="a path that only begins alike"),
        pytest.param("GET", "/", 404, id="nothing at the root"),
    ],
)
async def test_anything_else_is_an_error_of_the_same_shape(
    agent: aiohttp.ClientSession, method: str, path: str, status: int
) -> None:
    async with agent.request(method, path) as answer:
        assert answer.status == status
        assert set((await answer.json())["error"]) == {"message", "type", "param", "code"}


async def test_a_new_policy_is_a_new_list(agent: aiohttp.ClientSession, board: PolicyBoard) -> None:
    async with agent.get("/v1/models") as before:
        assert len((await before.json())["data"]) == 3
    board.publish(PolicyView(deployments={"team/support": policy("team/support", "renamed")}))
    async with agent.get("/v1/models") as after:
        assert [model["id"] for model in (await after.json())["data"]] == ["renamed", "team/support"]
    async with agent.get("/v1/models/support") as gone:
        assert gone.status == 404
