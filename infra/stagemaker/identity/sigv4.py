"""Signature Version 4: reading a signature off a request and computing the one it should be.

After "Signature Version 4 signing process" of AWS's General Reference and the page on authenticating
requests of S3's API reference. Pure functions; who may use which key is the authenticator's business.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from urllib.parse import parse_qsl, quote, unquote

from stagemaker.wire.message import Request

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
EMPTY_SHA256 = hashlib.sha256().hexdigest()
_TERMINATOR = "aws4_request"
_ENCODED_ONCE = frozenset({"s3", "s3express"})
_PRESIGN_PARAMETERS = ("Algorithm", "Credential", "Date", "SignedHeaders", "Signature")


class SignatureError(ValueError):
    """The request carries something that is not a whole SigV4 signature; the text says what is wrong."""


class UnsupportedSignatureError(SignatureError):
    """The request is signed in another way than SigV4."""


class RepeatedSignatureError(SignatureError):
    """The request carries more than one signature."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What a request says about its own signature. `expires` (seconds) only in a presigned URL."""

    access_key_id: str
    day: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str
    timestamp: str
    token: str | None
    presigned: bool = False
    expires: str | None = None

    @property
    def scope(self) -> str:
        """`<day>/<region>/<service>/aws4_request`."""
        return f"{self.day}/{self.region}/{self.service}/{_TERMINATOR}"

    @property
    def time(self) -> datetime:
        """When the request was signed. Raises SignatureError."""
        try:
            return datetime.strptime(self.timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        except ValueError:
            raise SignatureError(
                "Date must be in ISO-8601 'basic format'. "
                f"Got '{self.timestamp}'. See http://en.wikipedia.org/wiki/ISO_8601"
            ) from None


def find_signature(request: Request) -> Signature | None:
    """The signature that `request` carries; None when it carries none of this version. Raises SignatureError."""
    header = request.headers.get("authorization")
    presigned = "X-Amz-" in request.query and _is_presigned(request.query)
    if (header is not None) + presigned + ("AWSAccessKeyId=" in request.query) > 1:
        raise RepeatedSignatureError(
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string "
            "parameter or the Authorization header should be specified"
        )
    if header is not None:
        return _from_header(header, request)
    return _from_query(request) if presigned else None


def _is_presigned(query: str) -> bool:
    return any(part.startswith(("X-Amz-Algorithm=", "X-Amz-Credential=", "X-Amz-Signature=")) for part in _parts(query))


def _unsupported(algorithm: str) -> str:
    return f"Unsupported AWS 'algorithm': '{algorithm}'. This stage verifies {ALGORITHM} only."


def _from_header(header: str, request: Request) -> Signature:
    algorithm, _, rest = header.strip().partition(" ")
    if algorithm != ALGORITHM:
        raise UnsupportedSignatureError(_unsupported(algorithm))
    fields: dict[str, str] = {}
    for part in rest.split(","):
        name, equals, value = part.strip().partition("=")
        if not equals or name in fields:
            raise SignatureError(f"Invalid key=value pair in Authorization header: '{part.strip()}'.")
        fields[name] = value
    missing = [name for name in ("Credential", "Signature", "SignedHeaders") if not fields.get(name)]
    timestamp = _header_time(request)
    if missing or not timestamp:
        problems = [f"Authorization header requires '{name}' parameter." for name in missing]
        if not timestamp:
            problems.append("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
        raise SignatureError(" ".join(problems))
    key, day, region, service = _credential(fields["Credential"])
    return Signature(
        key,
        day,
        region,
        service,
        tuple(fields["SignedHeaders"].lower().split(";")),
        fields["Signature"],
        timestamp,
        request.headers.get("x-amz-security-token"),
    )


def _header_time(request: Request) -> str:
    if stamp := request.headers.get("x-amz-date"):
        return stamp
    try:
        return parsedate_to_datetime(request.headers.get("date", "")).astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    except ValueError:
        return ""


def _from_query(request: Request) -> Signature:
    values: dict[str, str] = {}
    for name, value in parse_qsl(request.query, keep_blank_values=True):
        if name.startswith("X-Amz-"):
            if name in values:
                raise SignatureError(f"The query-string parameter {name} is given twice.")
            values[name] = value
    algorithm = values.get("X-Amz-Algorithm", "")
    if algorithm and algorithm != ALGORITHM:
        raise UnsupportedSignatureError(_unsupported(algorithm))
    if missing := [name for name in _PRESIGN_PARAMETERS if not values.get(f"X-Amz-{name}")]:
        raise SignatureError(
            " ".join(f"AWS query-string parameters must include 'X-Amz-{name}'." for name in missing)
            + " Re-examine the query-string parameters."
        )
    key, day, region, service = _credential(values["X-Amz-Credential"])
    return Signature(
        key,
        day,
        region,
        service,
        tuple(values["X-Amz-SignedHeaders"].lower().split(";")),
        values["X-Amz-Signature"],
        values["X-Amz-Date"],
        values.get("X-Amz-Security-Token"),
        presigned=True,
        expires=values.get("X-Amz-Expires"),
    )


def _credential(text: str) -> tuple[str, str, str, str]:
    parts = text.split("/")
    if len(parts) != 5 or not all(parts):
        raise SignatureError(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, "
            f"got '{text}'."
        )
    key, day, region, service, terminator = parts
    if terminator != _TERMINATOR:
        raise SignatureError(f"Credential should be scoped with a valid terminator: '{_TERMINATOR}'.")
    return key, day, region, service


def expected_signatures(request: Request, signature: Signature, secret: str, payload_hash: str) -> Iterator[str]:
    """The signatures that would be right, in lower-case hexadecimal, lazily.

    There are up to two, because clients differ in how they encode the path and the query: as sent,
    and as AWS would encode them. Both bind the call to the same decoded path and query.
    """
    key = signing_key(secret, signature.day, signature.region, signature.service)
    for canonical in canonical_requests(request, signature, payload_hash):
        digest = hashlib.sha256(_as_sent(canonical)).hexdigest()
        yield sign(key, f"{ALGORITHM}\n{signature.timestamp}\n{signature.scope}\n{digest}")


def canonical_requests(request: Request, signature: Signature, payload_hash: str) -> Iterator[str]:
    """The canonical request with path and query as sent, then with both as AWS encodes them if that differs."""
    header_lines = "".join(
        f"{name}:{' '.join(request.headers.get(name, '').split())}\n" for name in signature.signed_headers
    )
    names = ";".join(signature.signed_headers)
    parts = [part for part in _parts(request.query) if not part.startswith("X-Amz-Signature=")]
    once: Callable[[str], str] = str if signature.service in _ENCODED_ONCE else _twice_encoded
    seen = set()
    for path, query in (
        (request.path or "/", _sorted_query(part.partition("=")[::2] for part in parts)),
        (_recoded(request.path or "/", safe="/~"), _sorted_query(_recoded_pairs(parts))),
    ):
        text = f"{request.method}\n{once(path)}\n{query}\n{header_lines}\n{names}\n{payload_hash}"
        if text not in seen:
            seen.add(text)
            yield text


def _as_sent(text: str) -> bytes:
    """The gateway reads headers as latin-1, which gives back any bytes; other callers may hold real text."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode()


def _parts(query: str) -> list[str]:
    return [part for part in query.split("&") if part]


def _sorted_query(pairs: Iterator[tuple[str, ...]]) -> str:
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def _recoded_pairs(parts: list[str]) -> Iterator[tuple[str, str]]:
    for part in parts:
        name, _, value = part.partition("=")
        yield _recoded(name.replace("+", "%20"), safe="~"), _recoded(value.replace("+", "%20"), safe="~")


def _recoded(text: str, safe: str) -> str:
    # latin-1 both ways: bytes that are no UTF-8 must come back as they were.
    return quote(unquote(text, encoding="latin-1"), safe=safe, encoding="latin-1", errors="replace")


def _twice_encoded(path: str) -> str:
    """Every service but S3 signs the path normalised and encoded once more."""
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in {"", "."}:
            kept.append(segment)
    tail = "/" if kept and path.endswith("/") else ""
    return quote(f"/{'/'.join(kept)}{tail}", safe="/~")


@lru_cache(maxsize=512)
def signing_key(secret: str, day: str, region: str, service: str) -> bytes:
    """The key of one day, region and service; kept, since deriving it takes four rounds of HMAC."""
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, _TERMINATOR):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def sign(key: bytes, text: str) -> str:
    """HMAC-SHA256 in hexadecimal."""
    return hmac.digest(key, text.encode(), "sha256").hex()
