"""What Secrets give, and what is wrong when they do not; no message tells a secret."""

import base64
from datetime import UTC, datetime

import pytest
from support.builders import a_cloud_endpoint, from_server
from tandem_lab.certificates import Authority
from tandem_operator import conditions, endpoint_status
from tandem_operator.api.v1alpha1 import CloudEndpoint
from tandem_operator.conditions import Finding
from tandem_operator.endpoint_status import Unread
from tandem_operator.reconcile_endpoint import way_out

NOW = datetime(2026, 5, 1, tzinfo=UTC)
ROUTES = Finding("True", conditions.PROGRAMMED)


def an_endpoint(**spec):
    return CloudEndpoint.model_validate(from_server(a_cloud_endpoint("eu", spec=spec)))


def a_secret(**data):
    return {"data": {key.replace("_", "-"): base64.b64encode(value).decode() for key, value in data.items()}}


def resolve(key_secret, ca_secret=None, **spec):
    return endpoint_status.resolve(an_endpoint(**spec), key_secret=key_secret, ca_secret=ca_secret)


def test_a_key_becomes_a_credential():
    resolved = resolve(a_secret(api_key=b" sk-123\n"))
    assert resolved.credential.authorization.get_secret_value() == "Bearer sk-123"
    assert resolved.usable


@pytest.mark.parametrize(
    ("secret", "reason"),
    [
        (None, "SecretNotFound"),
        ({}, "KeyNotFound"),
        ({"data": None}, "KeyNotFound"),
        (a_secret(other=b"sk-hidden"), "KeyNotFound"),
        ({"data": {"api-key": "%%%"}}, "KeyNotFound"),
        (a_secret(api_key=b" \n"), "KeyUnusable"),
        (a_secret(api_key=b"sk-hidden\r\nx: y"), "KeyUnusable"),
        (a_secret(api_key="sk-hidden-ü".encode()), "KeyUnusable"),
    ],
)
def test_without_a_usable_key_nothing_is_usable(secret, reason):
    resolved = resolve(secret)
    assert (resolved.credential, resolved.usable, resolved.key.reason) == (None, False, reason)
    assert "hidden" not in resolved.key.message


TLS = {"caSecretRef": {"name": "ca", "key": "ca.crt"}}


@pytest.mark.parametrize("ca", [None, {"data": {}}, {"data": {"ca.crt": base64.b64encode(b"not a pem").decode()}}])
def test_missing_certificates_are_not_replaced_by_the_systems(ca):
    resolved = resolve(a_secret(api_key=b"sk"), ca, tls=TLS)
    assert not resolved.usable
    assert resolved.ca.reason == "CertificateMissing"
    assert way_out(an_endpoint(tls=TLS), resolved) == []


def test_certificates_of_ones_own_are_passed_on():
    pem = Authority().ca_pem.encode()
    resolved = resolve(a_secret(api_key=b"sk"), {"data": {"ca.crt": base64.b64encode(pem).decode()}}, tls=TLS)
    assert resolved.usable
    assert resolved.ca_pem == pem.decode()


@pytest.mark.parametrize(
    ("secret", "routes", "ready"),
    [
        (a_secret(api_key=b"sk"), ROUTES, ("True", "EndpointAvailable")),
        (None, ROUTES, ("False", "SecretNotFound")),
        (a_secret(api_key=b"sk"), Finding("False", "NoGateway"), ("False", "NoGateway")),
    ],
)
def test_ready(secret, routes, ready):
    endpoint = an_endpoint()
    status = endpoint_status.make_status(endpoint, resolve(secret), routes, used_by=["a/b"], now=NOW)
    found = conditions.find(status.conditions, "Ready")
    assert (found.status, found.reason) == ready
    assert status.used_by == ("a/b",)
    assert status.observed_generation == 1


@pytest.mark.parametrize(
    ("unread", "reason", "told"),
    [
        (Unread.FORBIDDEN, "SecretForbidden", "let its ServiceAccount get it"),
        (Unread.FAILED, "SecretUnreadable", "the log says why"),
    ],
)
def test_what_could_not_be_read_is_said_with_what_to_do_and_taken_for_neither_there_nor_missing(unread, reason, told):
    resolved = resolve(unread)
    assert (resolved.key.status, resolved.key.reason, resolved.unread) == ("False", reason, unread)
    assert told in resolved.key.message
    resolved = resolve(a_secret(api_key=b"sk"), unread, tls=TLS)
    assert (resolved.key.status, resolved.ca.reason, resolved.unread) == ("True", reason, unread)
    assert resolve(None).unread is None
