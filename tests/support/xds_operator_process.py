"""An ``XdsOperator`` as a process of its own, to be frozen and killed: ``python -m support.xds_operator_process FILE``.

The file is JSON: ``port``, ``gateway_port``, ``replica_port``, ``models`` and the server's ``tls`` as PEM texts.
"""

import json
import sys
import threading
from pathlib import Path

from tandem_lab.process import Process
from tandem_operator.pki import Pki, ServerTls

from support.xds_operator import XdsOperator


def start_operator(
    folder: Path, pki: Pki, *, port: int, gateway_port: int, replica_port: int, models: list[str]
) -> Process:
    """Start one that leads from the beginning."""
    tls = [pki.server.certificate_pem.decode(), pki.server.key_pem.decode(), pki.server.client_ca_pem.decode()]
    file = folder / f"operator-{port}.json"
    file.write_text(
        json.dumps(
            {"port": port, "gateway_port": gateway_port, "replica_port": replica_port, "models": models, "tls": tls}
        )
    )
    command = [sys.executable, "-m", "support.xds_operator_process", file]
    environment = {"PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    return Process(f"operator {port}", command, log=folder / f"operator-{port}.log", env=environment)


def main(file: Path) -> None:
    told = json.loads(file.read_text())
    certificate, key, client_ca = (text.encode() for text in told["tls"])
    with XdsOperator(ServerTls(certificate, key, client_ca), told["port"]) as operator:
        operator.put_gateway(told["gateway_port"])
        for model in told["models"]:
            operator.put_model(model, told["replica_port"])
        operator.open()
        threading.Event().wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
