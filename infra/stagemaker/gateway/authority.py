"""The certificate authority of a state folder: it vouches for AWS's host names, on this machine only."""

from __future__ import annotations

import contextlib
import os
import ssl
import tempfile
from functools import cached_property, lru_cache
from pathlib import Path

BUNDLE_NAME = "ca-bundle.pem"


class Authority:
    """The authority in `folder`, made when it is first asked for.

    `trustme` is imported here and not at the top: it takes 0.2 s, and a stage that nobody reaches through
    the proxy never needs it.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "ca.pem"
        self.bundle = folder / BUNDLE_NAME
        """Certificates that a client behind the proxy should trust: the usual ones and this authority's."""
        self.context = lru_cache(maxsize=256)(self._context)

    def prepare(self) -> None:
        """Make the authority and the bundle, unless both are there."""
        if not (self._file.exists() and self.bundle.exists()):
            _ = self._authority

    @cached_property
    def _authority(self):  # type: ignore[no-untyped-def] # noqa: ANN202 - trustme.CA, not imported at the top
        import certifi
        import trustme

        self._file.parent.mkdir(parents=True, exist_ok=True)
        if not self._file.exists():
            fresh = trustme.CA(organization_name="Stagemaker, this machine only")
            pem = fresh.cert_pem.bytes() + fresh.private_key_pem.bytes()
            _create(self._file, pem)
        pem = self._file.read_bytes()
        certificate, _, key = pem.partition(b"-----END CERTIFICATE-----\n")
        certificate += b"-----END CERTIFICATE-----\n"
        if not self.bundle.exists():
            _create(self.bundle, Path(certifi.where()).read_bytes() + b"\n" + certificate)
        return trustme.CA.from_pem(certificate, key)

    def _context(self, host: str) -> ssl.SSLContext:
        """The server's side of TLS as `host`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["http/1.1"])
        self._authority.issue_cert(host).configure_cert(context)
        return context


def _create(file: Path, content: bytes) -> None:
    """Write `file` whole, or leave it to whoever was first. Only its owner can read it."""
    handle, temporary = tempfile.mkstemp(dir=file.parent)
    with os.fdopen(handle, "wb") as target:
        target.write(content)
    with contextlib.suppress(FileExistsError):
        os.link(temporary, file)
    Path(temporary).unlink()
