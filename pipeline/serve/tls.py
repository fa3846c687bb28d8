"""Key and certificates for both APIs, from an SSLConfig file."""

from __future__ import annotations

import ssl
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.core.errors import ConfigError
from pipeline.serve.config_protos import SSL, read_text_proto


@dataclass(frozen=True)
class Tls:
    """Who the server is, and whether clients must say who they are.

    Attributes:
        key: The server's private key, PEM.
        certificate: Its certificate, and those up to the authority, PEM.
        authority: Certificates of the authorities that clients' certificates may come from, PEM;
            empty: those that the system trusts.
        verify_clients: Whether a client without a valid certificate is refused.
    """

    key: str = field(repr=False)
    certificate: str
    authority: str = ""
    verify_clients: bool = False

    def context(self) -> ssl.SSLContext:
        """What the REST API listens with.

        Raises:
            ssl.SSLError: Key and certificate do not belong together, or one is no PEM.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        with tempfile.TemporaryDirectory() as folder:  # for this user's eyes alone
            # The ssl module reads a key from a file only.
            path = Path(folder) / "chain.pem"
            path.touch(mode=0o600)
            path.write_text(f"{self.key}\n{self.certificate}\n", encoding="utf-8")
            context.load_cert_chain(path)
        if self.verify_clients:
            context.verify_mode = ssl.CERT_REQUIRED
            if self.authority:
                context.load_verify_locations(cadata=self.authority)
            else:
                context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
        return context


def read_tls(path: Path) -> Tls:
    """Reads an SSLConfig file: `server_key`, `server_cert`, `custom_ca`, `client_verify`.

    Raises:
        PipelineError: The file cannot be read.
        ConfigError: It is no such file, or key and certificate do not fit. Shows no key.
    """
    proto = read_text_proto(path, SSL)
    tls = Tls(proto.server_key, proto.server_cert, proto.custom_ca, proto.client_verify)
    try:
        tls.context()
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or type(error).__name__
        raise ConfigError(
            f"{path}: key and certificates cannot be used: {reason}",
            "server_key and server_cert that belong together, custom_ca if any, all as PEM text",
        ) from None
    return tls
