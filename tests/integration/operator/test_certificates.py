"""The internal CA and both certificates change under a running operator and gateway: nobody notices."""

import base64
import itertools
import json
import socket
import ssl
import threading
from datetime import timedelta

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from support.operator_world import SETTLE_SECONDS, START_SECONDS, STEADY, running_world
from support.wait import eventually
from tandem_contract.identity import OPERATOR_NAME
from tandem_lab.gateway import Gateway
from tandem_lab.operator import NAMESPACE
from tandem_lab.process import free_port
from tandem_lab.secret_mount import SecretMount


@pytest.fixture
def house(control_plane, tmp_path):
    """A world with a real gateway beside the recording one; certificates are looked at every second."""
    settings = {**STEADY, "certificates_seconds": 1, "gateway_port": free_port()}
    with (
        running_world(control_plane, tmp_path, {}, settings=settings) as world,
        SecretMount(control_plane, NAMESPACE, "tandem-gateway-tls", tmp_path / "tls") as mount,
        a_gateway(world, mount, tmp_path) as gateway,
    ):
        eventually(lambda: gateway.ready, START_SECONDS)
        yield world, mount, gateway, settings["gateway_port"]


def a_gateway(world, mount, folder):
    return Gateway(folder / "gateway", operators=[f"127.0.0.1:{world.operator.xds_port}"], tls_dir=mount.folder)


def secret(world, name):
    data = world.control_plane.get_json("secret", name, "-n", NAMESPACE)["data"]
    return {key: base64.b64decode(value) for key, value in data.items()}


def age(world, entry, *, days):
    """Put the certificate of an authority back in time: the same name and key, older."""
    data = secret(world, "tandem-internal")
    before = x509.load_pem_x509_certificate(data[f"{entry}.crt"])
    key = serialization.load_pem_private_key(data[f"{entry}.key"], password=None)
    builder = x509.CertificateBuilder(
        before.issuer,
        before.subject,
        before.public_key(),
        x509.random_serial_number(),
        before.not_valid_before_utc - timedelta(days=days),
        before.not_valid_after_utc - timedelta(days=days),
        list(before.extensions),
    )
    aged = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    patch = json.dumps({"data": {f"{entry}.crt": base64.b64encode(aged).decode()}})
    world.control_plane.kubectl("patch", "secret", "tandem-internal", "-n", NAMESPACE, "--type=merge", "-p", patch)


def authority_of(certificate_pem):
    return x509.load_pem_x509_certificate(certificate_pem).issuer


def presented(world, folder):
    """Return who signed what the operator shows to a gateway that comes now."""
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", world.operator.xds_port), timeout=60) as plain,
        context.wrap_socket(plain, server_hostname=OPERATOR_NAME) as secured,
    ):
        shown = secured.getpeercert(binary_form=True)
    return x509.load_der_x509_certificate(shown).issuer


class Clients:
    """Somebody asks all the time; ``statuses`` are what they were answered."""

    def __init__(self, port):
        self.statuses = []
        self._url = f"http://127.0.0.1:{port}/v1/models"
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()

    def _ask(self):
        with httpx.Client(trust_env=False, timeout=60) as client:
            while not self._done.is_set():
                self.statuses.append(client.get(self._url).status_code)


def known(gateway_port, world, name):
    with httpx.Client(trust_env=False, timeout=60) as client:
        listed = client.get(f"http://127.0.0.1:{gateway_port}/v1/models").json()["data"]
    return world.owner_key(name) in {model["id"] for model in listed}


def test_a_new_authority_takes_over_under_load_and_nobody_notices(house):
    world, mount, gateway, port = house
    names = (f"model-{number}" for number in itertools.count())

    def is_followed():
        name = next(names)
        world.apply(world.deployment(name))
        eventually(lambda: known(port, world, name), SETTLE_SECONDS)

    is_followed()
    first = authority_of(secret(world, "tandem-gateway-tls")["tls.crt"])
    connects = eventually(lambda: gateway.metric("tandem_gateway_operator_connects_total"), START_SECONDS)
    with Clients(port) as clients:
        age(world, "ca", days=310)  # 55 are left: it gets a successor, which is trusted and does not sign yet
        eventually(lambda: secret(world, "tandem-gateway-tls")["ca.crt"].count(b"BEGIN") == 2, SETTLE_SECONDS)
        assert authority_of(secret(world, "tandem-gateway-tls")["tls.crt"]) == first
        mount.refresh()

        age(world, "successor", days=2)  # its probation is over
        eventually(lambda: authority_of(secret(world, "tandem-gateway-tls")["tls.crt"]) != first, SETTLE_SECONDS)
        successor = authority_of(secret(world, "tandem-gateway-tls")["tls.crt"])
        eventually(lambda: presented(world, mount.folder) == successor, SETTLE_SECONDS)
        is_followed()
        told = eventually(lambda: gateway.metric("tandem_gateway_operator_connects_total"), START_SECONDS)
        assert told == connects, "its stream was left alone"

        mount.refresh()
        world.operator.restart()  # the agent comes back, with its new certificate, to the new one of the operator
        eventually(lambda: gateway.metric("tandem_gateway_operator_connects_total") == connects + 1, START_SECONDS)
        is_followed()
    assert len(clients.statuses) > 10
    assert set(clients.statuses) == {200}
