"""The two halves of the protocol: verifying the co-signer's JWT, and signing the answer."""

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from .policy import Decision

logger = logging.getLogger("handler")

MIN_RSA_BITS = 2048
# How far a co-signer's clock may be off, where it dates its requests.
LEEWAY_SECONDS = 30


class Refused(Exception):
    """A request that gets no answer. The co-signer takes any status but 200 as a failure, not as a rejection."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class InvalidKey(Exception):
    """The handler's own key cannot be used."""


class Keys:
    """The co-signers' public keys and the own private key.

    The files of the public keys are read for every request: a key can be put there after the co-signer is paired, and
    be replaced, while the handler runs.
    """

    def __init__(self, cosigners: Sequence[Path], answer: Path) -> None:
        self._cosigners = cosigners
        self._answer, self._algorithm = _answer_key(answer)

    def verify(self, body: bytes) -> dict[str, Any]:
        """The payload, if a known co-signer signed it.

        The algorithm is fixed: what the token's header says of keys and algorithms decides nothing. A token with an
        audience (`aud`) is refused: co-signers never send one, so it was made for somebody else.
        """
        for key in self._cosigner_keys():
            try:
                return jwt.decode(body.strip(), key, algorithms=["RS256"], leeway=LEEWAY_SECONDS)
            except jwt.InvalidSignatureError:
                continue
            except (jwt.ExpiredSignatureError, jwt.ImmatureSignatureError) as error:
                raise Refused(401, "the request expired, or a clock is off") from error
            except (jwt.InvalidTokenError, ValueError, RecursionError):
                break
        raise Refused(401, "the body is not a JWT that a known co-signer signed with RS256")

    def _cosigner_keys(self) -> Iterator[RSAPublicKey]:
        for path in self._cosigners:
            try:
                key = load_pem_public_key(path.read_bytes())
                if not isinstance(key, RSAPublicKey) or key.key_size < MIN_RSA_BITS:
                    raise ValueError(f"not an RSA public key of {MIN_RSA_BITS} bits or more")
                yield key
            except (OSError, ValueError, UnsupportedAlgorithm) as error:
                fields = {"path": str(path), "error": str(error)}
                logger.warning("cannot use a co-signer's public key", extra={"fields": fields})

    def sign(self, request_id: str, decision: Decision) -> str:
        """The answer's JWT."""
        return jwt.encode(answer(request_id, decision), self._answer, algorithm=self._algorithm)


def answer(request_id: str, decision: Decision) -> dict[str, Any]:
    """The answer's payload: signed in the public-key mode, plain in the JSON mode."""
    said: dict[str, Any] = {"action": decision.action, "requestId": request_id}
    if decision.reason:
        said["rejectionReason"] = decision.reason
    return said


def parse_json(body: bytes) -> dict[str, Any]:
    """The payload of the JSON mode. Nobody signed it."""
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(400, "the body is not JSON") from error
    if not isinstance(payload, dict):
        raise Refused(400, "the body is not a JSON object")
    return payload


def _answer_key(path: Path) -> tuple[RSAPrivateKey | EllipticCurvePrivateKey, str]:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidKey(f"{path} is not a private key in PEM without a passphrase") from error
    if isinstance(key, RSAPrivateKey) and key.key_size >= MIN_RSA_BITS:
        return key, "RS256"
    if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1):
        return key, "ES256"
    raise InvalidKey(f"{path}: expected an RSA key of {MIN_RSA_BITS} bits or more, or a P-256 key")
