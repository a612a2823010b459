"""A stand-in for Ray's dashboard: whatever document it is given runs at once, one replica for each application.

``python serve.py PORT``. It answers what Ray 2.60 answers for such a document, in size too. A real Ray head cannot hold
a thousand replicas on a test machine, and it is the operator's CPU that is measured, not Ray's.
"""

import json
import sys
from typing import Any

from aiohttp import web

APPLICATIONS = "/api/serve/applications/"


class Serve:
    """Keeps the last document and the answer about it, ready to be sent."""

    def __init__(self) -> None:
        self._answer = json.dumps(_details({}, None)).encode()

    async def get(self, _: web.Request) -> web.Response:
        return web.Response(body=self._answer, content_type="application/json")

    async def put(self, request: web.Request) -> web.Response:
        document = await request.json()
        apps = {app["name"]: app for app in document["applications"]}
        self._answer = json.dumps(_details(apps, document.get("http_options"))).encode()
        return web.Response()

    async def actors(self, _: web.Request) -> web.Response:
        return web.json_response({"data": {"result": {"result": []}}})


def _details(apps: dict[str, Any], http_options: Any) -> dict[str, Any]:
    numbered = list(enumerate(apps.items()))
    return {
        "controller_info": {"node_id": "n", "node_ip": "127.0.0.1", "actor_id": "controller" if apps else ""},
        "http_options": http_options,
        "applications": {name: _application(name, app) for name, app in apps.items()},
        "target_groups": [_targets(name, 30000 + number) for number, (name, _) in numbered],
    }


def _application(name: str, app: dict[str, Any]) -> dict[str, Any]:
    config = {key: value for key, value in app["deployments"][0].items() if key != "name"}
    replica = {
        "replica_id": "x1", "actor_id": "a" * 32, "actor_name": f"SERVE_REPLICA::{name}#replica#x1", "pid": 4711,
        "node_id": "n" * 56, "node_ip": "127.0.0.1", "node_instance_id": None, "worker_id": "w" * 56,
        "log_file_path": f"/serve/replica_{name}_replica_x1.log", "state": "RUNNING", "start_time_s": 1.5,
    }  # fmt: skip
    deployment = {
        "name": "replica", "status": "HEALTHY", "status_trigger": "CONFIG_UPDATE_COMPLETED", "message": "",
        "deployment_config": config, "target_num_replicas": 1, "required_resources": config["ray_actor_options"],
        "replicas": [replica],
    }  # fmt: skip
    return {
        "name": name, "route_prefix": app["route_prefix"], "docs_path": None, "status": "RUNNING", "message": "",
        "last_deployed_time_s": 1.5, "source": "declarative", "deployed_app_config": app,
        "deployments": {"replica": deployment},
    }  # fmt: skip


def _targets(name: str, port: int) -> dict[str, Any]:
    target = {"ip": "127.0.0.1", "port": port, "instance_id": "i", "name": f"SERVE_REPLICA::{name}#replica#x1"}
    return {"targets": [target], "route_prefix": f"/{name}", "protocol": "HTTP", "app_name": name}


def main() -> None:
    serve, app = Serve(), web.Application(client_max_size=256 * 1024 * 1024)
    app.router.add_get(APPLICATIONS, serve.get)
    app.router.add_put(APPLICATIONS, serve.put)
    app.router.add_get("/api/v0/actors", serve.actors)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)


if __name__ == "__main__":
    main()
