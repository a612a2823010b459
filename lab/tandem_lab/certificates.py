"""A certificate authority for one evening: what a provider's TLS looks like from the gateway. Used by the stand-ins."""

import ssl
from datetime import UTC, datetime
from pathlib import Path

from cryptography.x509.oid import ExtendedKeyUsageOID
from tandem_operator.certificates import mint_ca, mint_leaf


class Authority:
    """Signs server certificates; its own is ``ca_pem``."""

    def __init__(self) -> None:
        self._issuer = mint_ca(datetime.now(UTC))

    @property
    def ca_pem(self) -> str:
        return self._issuer.certificate_pem.decode()

    def server_context(self, folder: Path, host: str) -> ssl.SSLContext:
        """Return a context that serves as ``host`` and on loopback; key and certificate are left in ``folder``."""
        names = (host, "127.0.0.1")
        certificate, key = mint_leaf(self._issuer, host, ExtendedKeyUsageOID.SERVER_AUTH, names, datetime.now(UTC))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "ca.crt").write_text(self.ca_pem)
        (folder / "tls.crt").write_bytes(certificate)
        (folder / "tls.key").touch(mode=0o600)
        (folder / "tls.key").write_bytes(key)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
        return context
