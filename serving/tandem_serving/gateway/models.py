"""``/v1/models`` and ``/v1/models/{id}`` in OpenAI's shape, from the policy in force. Envoy asks over a socket."""

import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

from aiohttp import web
from tandem_contract import headers
from tandem_contract.documents import DeploymentPolicy
from tandem_contract.openai_error import openai_error

from tandem_serving.gateway.policy_board import PolicyBoard

_LIST: Final = "/v1/models"
_HEADERS: Final = {headers.DESTINATION: headers.GATEWAY, headers.ATTEMPTS: "0"}


def models_app(board: PolicyBoard) -> web.Application:
    """Return the application that the agent serves to Envoy."""
    models = _Models(board)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", models.answer)
    return app


class _Models:
    def __init__(self, board: PolicyBoard) -> None:
        self._board = board
        self._made_from: Mapping[str, DeploymentPolicy] | None = None
        self._by_id: dict[str, dict[str, Any]] = {}
        self._list = b""

    async def answer(self, request: web.Request) -> web.Response:
        path = request.raw_path.partition("?")[0]
        if path.rstrip("/") != _LIST and not path.startswith(f"{_LIST}/"):
            return _error(404, f"There is nothing at {path}.", "not_found")
        if request.method not in {"GET", "HEAD"}:
            return _error(405, f"{path} can only be read.", "method_not_allowed")
        self._refresh()
        model = unquote(path.removeprefix(_LIST).removeprefix("/"))
        if not model:
            return web.Response(body=self._list, content_type="application/json", headers=_HEADERS)
        if model not in self._by_id:
            return _error(404, f"The model {json.dumps(model)} does not exist.", "model_not_found", param="model")
        return web.json_response(self._by_id[model], headers=_HEADERS)

    def _refresh(self) -> None:
        """Make the answers anew when the policy has changed."""
        deployments = self._board.current().deployments
        if deployments is self._made_from:
            return
        found = [_model(name, policy) for policy in deployments.values() for name in policy.names]
        found.sort(key=lambda model: model["id"])
        self._by_id = {model["id"]: model for model in found}
        self._list = json.dumps({"object": "list", "data": found}).encode()
        self._made_from = deployments


def _model(name: str, policy: DeploymentPolicy) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": policy.created_seconds,
        "owned_by": policy.deployment.partition("/")[0],
    }


def _error(status: int, message: str, code: str, *, param: str | None = None) -> web.Response:
    error = openai_error(message, kind="invalid_request_error", code=code, param=param)
    return web.json_response(error, status=status, headers=_HEADERS)
