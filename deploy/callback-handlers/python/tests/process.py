"""The real process, asked over HTTPS as a co-signer asks."""

import http.client
import json
import os
import ssl
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def private_pem(key: PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_pem(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def certificate(key: ec.EllipticCurvePrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "handler")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1))
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    return builder.add_extension(names, critical=False).sign(key, SHA256()).public_bytes(Encoding.PEM)


@dataclass
class Answer:
    status: int
    type: str
    body: str


class Running:
    """A handler that runs."""

    def __init__(self, folder: Path, answer_key: PrivateKey, *flags: str, signed: bool = True) -> None:
        self.folder = folder
        self.cosigner = rsa_key()
        self.answer_key = answer_key
        self.ready_file = folder / "ready.json"
        tls = ec.generate_private_key(ec.SECP256R1())
        files = {"tls-cert": certificate(tls), "tls-key": private_pem(tls)}
        if signed:
            files |= {"cosigner-key": public_pem(self.cosigner), "answer-key": private_pem(answer_key)}
        arguments = ["--listen", "127.0.0.1:0", "--ready-file", str(self.ready_file)]
        for name, content in files.items():
            (folder / name).write_bytes(content)
            arguments += [f"--{name}", str(folder / name)]
        self.log_file = folder / "log"
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "handler", *arguments, *flags],
                cwd=Path(__file__).parent.parent,
                env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            self.stop()
            raise AssertionError(self.log_file.read_text())
        ready = json.loads(line)
        assert ready["event"] == "listening"
        self.port: int = ready["port"]
        self._trust = ssl.create_default_context(cafile=str(folder / "tls-cert"))

    def stop(self) -> int:
        self.process.terminate()
        try:
            return self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            if self.process.stdout:
                self.process.stdout.close()

    def connect(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=20, context=self._trust)

    def post(self, path: str, body: str | bytes, type: str = "application/jwt") -> Answer:
        connection = self.connect()
        try:
            connection.request("POST", path, body, {"Content-Type": type})
            response = connection.getresponse()
            return Answer(response.status, response.headers.get("content-type", ""), response.read().decode())
        finally:
            connection.close()

    def token(self, payload: dict[str, Any]) -> str:
        return jwt.encode(payload, self.cosigner, algorithm="RS256")

    def ask(self, path: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Asks as a co-signer does, and verifies the answer as it does."""
        answer = self.post(path, self.token(payload))
        assert (answer.status, answer.type) == (200, "application/jwt"), answer
        algorithm = "RS256" if isinstance(self.answer_key, rsa.RSAPrivateKey) else "ES256"
        return jwt.decode(answer.body, self.answer_key.public_key(), algorithms=[algorithm])

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log_file.read_text().splitlines()]
