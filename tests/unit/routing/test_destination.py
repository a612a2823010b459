"""The word for where an endpoint's data goes: another place, another word."""

import re

import pytest
from tandem_operator.routing.destination import destination_digest

URL, REGION, CA = "https://api.example.com/v1", "eu-de", "-----BEGIN CERTIFICATE-----"
HERE = destination_digest(URL, region=REGION, ca_pem=CA)


def test_it_is_sixteen_hex_digits() -> None:
    assert re.fullmatch("[0-9a-f]{16}", HERE)


@pytest.mark.parametrize("url", ["https://API.example.com/v1", "https://api.example.com:443/v1", f"{URL}/"])
def test_spellings_of_one_address_are_one_place(url: str) -> None:
    assert destination_digest(url, region=REGION, ca_pem=CA) == HERE


@pytest.mark.parametrize(
    ("url", "region", "ca_pem"),
    [
        ("https://api2.example.com/v1", REGION, CA),
        ("https://api.example.com:8443/v1", REGION, CA),
        ("https://api.example.com/v2", REGION, CA),
        (URL, "us-va", CA),
        (URL, REGION, None),
        (URL, REGION, f"{CA}x"),
    ],
)
def test_another_host_port_path_region_or_authority_is_another_place(url: str, region: str, ca_pem: str | None) -> None:
    assert destination_digest(url, region=region, ca_pem=ca_pem) != HERE
