"""The handlers of this folder start, verify, answer, and end with their process."""

import http.client
import json
import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def private_pem(key: Key) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_pem(key: Key) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def certificate(key: ec.EllipticCurvePrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "handler")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1))
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    return builder.add_extension(names, critical=False).sign(key, SHA256()).public_bytes(Encoding.PEM)


def post(port: int, trusted: Path, body: str) -> tuple[int, str]:
    context = ssl.create_default_context(cafile=str(trusted))
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=20, context=context)
    try:
        connection.request("POST", "/v2/tx_sign_request", body, {"Content-Type": "application/jwt"})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize("action", ["APPROVE", "REJECT"])
@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
@pytest.mark.parametrize("library", ["pyjwt", "jsonwebtoken"])
def test_it_verifies_and_answers(library: str, algorithm: str, action: str, tmp_path: Path) -> None:
    cosigner = rsa.generate_private_key(65537, 2048)
    tls = ec.generate_private_key(ec.SECP256R1())
    own: Key = cosigner if algorithm == "RS256" else tls
    files = {"cert": certificate(tls), "key": private_pem(tls), "cosigner-key": public_pem(cosigner)}
    command = [str(Path(__file__).with_name("run")), library, "--algorithm", algorithm, "--action", action]
    for name, content in (files | {"signing-key": private_pem(own)}).items():
        (tmp_path / name).write_bytes(content)
        command += [f"--{name}", str(tmp_path / name)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout
        try:
            ready = json.loads(process.stdout.readline())
            assert ready["event"] == "listening"
            asked = {"requestId": "id-1", "txId": "t-1", "rawTx": []}
            token = jwt.encode(asked, cosigner, algorithm="RS256")
            status, answer = post(ready["port"], tmp_path / "cert", token)
            assert status == 200
            said = jwt.decode(answer, own.public_key(), algorithms=[algorithm])
            assert (said["action"], said["requestId"]) == (action, "id-1")
            assert ("rejectionReason" in said) == (action == "REJECT")
            assert ("iat" in said) == (library == "jsonwebtoken")
            forged = jwt.encode(asked, rsa.generate_private_key(65537, 2048), algorithm="RS256")
            assert post(ready["port"], tmp_path / "cert", forged)[0] == 401
        finally:
            process.terminate()
        process.wait(10)
    with pytest.raises(OSError):
        post(ready["port"], tmp_path / "cert", token)
