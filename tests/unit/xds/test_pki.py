from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from tandem_contract.identity import OPERATOR_NAME
from tandem_operator.certificates import CA_LIFE, LEAF_LIFE
from tandem_operator.errors import Hold
from tandem_operator.pki import CA_PROBATION, CA_SUCCESSION, Pki, plan_pki

START = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = ("tandem-operator.tandem-system.svc", "127.0.0.1")


def plan(before: Pki | None, at: timedelta, names: tuple[str, ...] = NAMES) -> Pki:
    internal, gateway, server = (before.internal, before.gateway, before.server) if before else (None, None, None)
    return plan_pki(internal, gateway, server=server, names=names, now=START + at)


def certificate(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


def trusted(bundle: bytes) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(bundle)


def signed_by_one_of(leaf: bytes, bundle: bytes) -> bool:
    return any(certificate(leaf).issuer == authority.subject for authority in trusted(bundle))


def test_the_first_plan_makes_everything() -> None:
    pki = plan(None, timedelta(0))
    assert set(pki.internal) == {"ca.crt", "ca.key", "redirect.key"}
    assert set(pki.gateway) == {"ca.crt", "tls.crt", "tls.key"}
    assert len(pki.redirect_key) == 32
    certificate(pki.server.certificate_pem).verify_directly_issued_by(certificate(pki.internal["ca.crt"]))
    certificate(pki.gateway["tls.crt"]).verify_directly_issued_by(certificate(pki.internal["ca.crt"]))


def test_the_gateway_never_gets_the_authoritys_key() -> None:
    pki = plan(None, timedelta(0))
    assert pki.internal["ca.key"] not in pki.gateway.values()
    assert pki.redirect_key not in pki.gateway.values()


def test_each_certificate_serves_its_own_end_only() -> None:
    pki = plan(None, timedelta(0))
    for pem, purpose in (
        (pki.server.certificate_pem, ExtendedKeyUsageOID.SERVER_AUTH),
        (pki.gateway["tls.crt"], ExtendedKeyUsageOID.CLIENT_AUTH),
    ):
        usage = certificate(pem).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert list(usage) == [purpose]


def test_the_server_is_valid_for_its_fixed_name_and_the_configured_ones() -> None:
    names = certificate(plan(None, timedelta(0)).server.certificate_pem).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert names.value.get_values_for_type(x509.DNSName) == [OPERATOR_NAME, NAMES[0]]
    assert [str(address) for address in names.value.get_values_for_type(x509.IPAddress)] == [NAMES[1]]


@pytest.mark.parametrize("days", [0, 1, 19])
def test_planning_again_changes_nothing(days: int) -> None:
    pki = plan(None, timedelta(0))
    assert plan(pki, timedelta(days=days)) == pki


def test_leaves_are_renewed_when_a_third_of_their_life_is_left() -> None:
    pki = plan(None, timedelta(0))
    later = plan(pki, LEAF_LIFE * 2 / 3)
    assert later.internal == pki.internal
    assert later.gateway["tls.crt"] != pki.gateway["tls.crt"]
    assert later.server.certificate_pem != pki.server.certificate_pem
    assert later.gateway["ca.crt"] == pki.gateway["ca.crt"]


def test_a_new_name_gives_the_server_a_new_certificate_and_the_gateway_none() -> None:
    pki = plan(None, timedelta(0))
    renamed = plan(pki, timedelta(0), names=(*NAMES, "another.svc"))
    assert renamed.server != pki.server
    assert renamed.gateway == pki.gateway


@pytest.mark.parametrize(
    "gateway",
    [
        pytest.param(None, id="no Secret"),
        pytest.param({}, id="an empty Secret"),
        pytest.param({"tls.crt": b"x", "tls.key": b"y"}, id="not PEM"),
    ],
)
def test_a_broken_gateway_secret_is_made_anew(gateway: Mapping[str, bytes] | None) -> None:
    pki = plan(None, timedelta(0))
    again = plan_pki(pki.internal, gateway, server=pki.server, names=NAMES, now=START)
    certificate(again.gateway["tls.crt"]).verify_directly_issued_by(certificate(pki.internal["ca.crt"]))
    assert again.internal == pki.internal


def test_a_certificate_with_anothers_key_is_made_anew() -> None:
    pki, other = plan(None, timedelta(0)), plan(None, timedelta(0))
    mixed = {**pki.gateway, "tls.key": other.gateway["tls.key"]}
    assert plan_pki(pki.internal, mixed, server=None, names=NAMES, now=START).gateway["tls.crt"] != mixed["tls.crt"]


@pytest.mark.parametrize("broken", ["ca.crt", "ca.key"])
def test_an_authority_that_cannot_be_read_is_never_replaced(broken: str) -> None:
    pki = plan(None, timedelta(0))
    with pytest.raises(Hold, match="tandem-internal"):
        plan_pki({**pki.internal, broken: b"garbage"}, pki.gateway, server=None, names=NAMES, now=START)


def test_an_authority_with_anothers_key_is_never_used() -> None:
    pki, other = plan(None, timedelta(0)), plan(None, timedelta(0))
    with pytest.raises(Hold):
        plan_pki({**pki.internal, "ca.key": other.internal["ca.key"]}, None, server=None, names=NAMES, now=START)


def test_a_successor_is_trusted_a_day_before_it_signs() -> None:
    pki = plan(None, timedelta(0))
    due = CA_LIFE - CA_SUCCESSION + timedelta(hours=1)
    announced = plan(pki, due)
    assert announced.internal["ca.crt"] == pki.internal["ca.crt"]
    assert len(trusted(announced.gateway["ca.crt"])) == len(trusted(announced.server.client_ca_pem)) == 2
    certificate(announced.server.certificate_pem).verify_directly_issued_by(certificate(pki.internal["ca.crt"]))
    assert plan(announced, due + CA_PROBATION - timedelta(minutes=1)).internal == announced.internal
    signing = plan(announced, due + CA_PROBATION)
    assert signing.internal["ca.crt"] == announced.internal["successor.crt"]
    assert signing.internal["retired.crt"] == pki.internal["ca.crt"]
    certificate(signing.server.certificate_pem).verify_directly_issued_by(certificate(signing.internal["ca.crt"]))


def test_the_old_authority_goes_when_it_has_ended() -> None:
    pki = plan(None, timedelta(0))
    for day in range(300, 370):
        pki = plan(pki, timedelta(days=day))
    assert "retired.crt" not in pki.internal
    assert len(trusted(pki.gateway["ca.crt"])) == 1


def test_an_authority_that_ended_while_nobody_looked_is_replaced_whole() -> None:
    pki = plan(None, timedelta(0))
    later = plan(pki, CA_LIFE + timedelta(days=1))
    certificate(later.gateway["tls.crt"]).verify_directly_issued_by(certificate(later.internal["ca.crt"]))
    assert later.redirect_key == pki.redirect_key


def test_over_three_years_either_end_may_be_a_day_behind_and_they_still_meet() -> None:
    pki = plan(None, timedelta(0))
    for day in range(1, 3 * 365):
        before, pki = pki, plan(pki, timedelta(days=day))
        for old, new in ((before, pki), (pki, before), (pki, pki)):
            assert signed_by_one_of(old.gateway["tls.crt"], new.server.client_ca_pem), day
            assert signed_by_one_of(new.server.certificate_pem, old.gateway["ca.crt"]), day
        now = START + timedelta(days=day)
        assert certificate(before.gateway["tls.crt"]).not_valid_after_utc > now + timedelta(days=1)
        assert all(authority.not_valid_after_utc > now for authority in trusted(pki.gateway["ca.crt"]))


def test_the_redirect_key_outlives_every_rotation() -> None:
    pki = plan(None, timedelta(0))
    first = pki.redirect_key
    for day in range(0, 800, 10):
        pki = plan(pki, timedelta(days=day))
    assert pki.redirect_key == first


def test_nothing_secret_is_shown() -> None:
    pki = plan(None, timedelta(0))
    assert "BEGIN" not in repr(pki) + repr(pki.server)
