"""What a co-signer meets."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from .process import PrivateKey, Running, public_pem, rsa_key

TX = "/v2/tx_sign_request"
CHANGE = "/v2/config_change_sign_request"
EXAMPLE = Path(__file__).parent.parent.parent / "policy.example.json"

Start = Callable[..., Running]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running: list[Running] = []

    def start(*flags: str, answer_key: PrivateKey | None = None, signed: bool = True) -> Running:
        key = answer_key or ec.generate_private_key(ec.SECP256R1())
        folder = tmp_path / str(len(running))
        folder.mkdir()
        running.append(Running(folder, key, *flags, signed=signed))
        return running[-1]

    yield start
    for handler in running:
        handler.stop()


def transaction(id: str, note: str = "rent", **more: Any) -> dict[str, Any]:
    return {"requestId": id, "txId": "t-1", "operation": "RAW", "asset": "ETH", "note": note, "rawTx": [], **more}


@pytest.mark.parametrize("make_key", [rsa_key, lambda: ec.generate_private_key(ec.SECP256R1())], ids=["RS256", "ES256"])
def test_it_approves_and_rejects_with_a_reason_and_says_the_same_again(
    start: Start, make_key: Callable[[], PrivateKey]
) -> None:
    handler = start(answer_key=make_key())
    assert handler.ask(TX, transaction("1")) == {"action": "APPROVE", "requestId": "1"}
    rejected = handler.ask(TX, transaction("2", "reject-me"))
    assert rejected == {"action": "REJECT", "requestId": "2", "rejectionReason": 'the note is "reject-me"'}
    assert handler.ask(TX, transaction("2", "reject-me")) == rejected
    assert handler.ask(TX, transaction("2", "rent"))["action"] == "REJECT", "other content under the same id"
    assert handler.ask(CHANGE, {"requestId": "2", "type": "ADD_USER"}) == {"action": "IGNORE", "requestId": "2"}


def test_an_attempt_that_is_dated_anew_is_the_same_question(start: Start) -> None:
    handler = start()
    now = int(time.time())
    for jti in ("a", "b"):
        dated = transaction("1", iat=now, nbf=now, exp=now + 60, jti=jti)
        assert handler.ask(TX, dated) == {"action": "APPROVE", "requestId": "1"}


def test_it_follows_its_policy(start: Start) -> None:
    handler = start("--policy", str(EXAMPLE))
    address = "0x52908400098527886E0F7030069857D2E4169EE7"
    transfer = transaction("1", operation="TRANSFER", amountStr="1", destAddress=address)
    assert handler.ask(TX, transfer)["action"] == "APPROVE"
    assert handler.ask(TX, transaction("2"))["rejectionReason"] == "the operation RAW is not allowed"
    for _ in range(2):
        later = {**transfer, "requestId": "3", "amountStr": "3"}
        assert handler.ask(TX, later) == {"action": "RETRY", "requestId": "3"}
    assert handler.ask(CHANGE, {"requestId": "4", "type": "ADD_USER", "extraInfo": {}})["action"] == "APPROVE"
    change = {"requestId": "5", "type": "COSIGNER_CALLBACK", "extraInfo": {}}
    assert handler.ask(CHANGE, change)["action"] == "REJECT"


def test_an_operators_test_is_answered_as_any_other_request(start: Start) -> None:
    handler = start("--policy", str(EXAMPLE))
    probe = transaction("1", operation="TYPED_MESSAGE", extraParameters={"countersign": {"test": True}})
    reason = "the operation TYPED_MESSAGE is not allowed"
    assert handler.ask(TX, probe) == {"action": "REJECT", "requestId": "1", "rejectionReason": reason}
    assert handler.log()[-1]["test"] is True


def test_it_answers_nobody_but_its_co_signers(start: Start, tmp_path: Path) -> None:
    second = rsa_key()
    (tmp_path / "second").write_bytes(public_pem(second))
    handler = start("--cosigner-key", str(tmp_path / "second"))
    payload = transaction("1")
    unsigned = jwt.encode(payload, "", algorithm="none")
    mac_key = b"k" * 32
    dated = {**payload, "exp": int(time.time()) - 120}
    for body in [
        jwt.encode(payload, rsa_key(), algorithm="RS256"),
        jwt.encode(payload, handler.cosigner, algorithm="RS512"),
        jwt.encode(payload, mac_key, algorithm="HS256"),
        unsigned,
        handler.token(dated),
        handler.token({**payload, "nbf": int(time.time()) + 120}),
        handler.token({**payload, "exp": "tomorrow"}),
        handler.token({**payload, "aud": "somebody else"}),
        json.dumps(payload),
        "not a token",
        "é",
        "",
    ]:
        assert handler.post(TX, body).status == 401, body
    assert handler.post(TX, handler.token({"txId": "t"})).status == 400
    assert handler.post("/tx_sign_request", json.dumps(payload), "application/json").status == 404
    assert handler.ask(TX, payload)["action"] == "APPROVE"
    also = jwt.encode(transaction("2"), second, algorithm="RS256")
    assert handler.post(TX, also, "text/plain").status == 200, "a second co-signer, another content type"


def test_a_co_signers_key_can_come_and_go_while_it_runs(start: Start) -> None:
    handler = start()
    key = handler.folder / "cosigner-key"
    public = key.read_bytes()
    key.unlink()
    assert handler.post(TX, handler.token(transaction("1"))).status == 401
    key.write_bytes(b"nonsense")
    assert handler.post(TX, handler.token(transaction("1"))).status == 401
    key.write_bytes(public)
    assert handler.ask(TX, transaction("1"))["action"] == "APPROVE"


def test_plain_json_is_served_where_it_is_switched_on(start: Start) -> None:
    handler = start("--json", signed=False)
    answer = handler.post("/tx_sign_request", json.dumps(transaction("1", "reject-me")), "application/json")
    assert (answer.status, answer.type) == (200, "application/json")
    reason = 'the note is "reject-me"'
    assert json.loads(answer.body) == {"action": "REJECT", "requestId": "1", "rejectionReason": reason}
    change = json.dumps({"requestId": "1", "type": "ADD_USER"})
    answer = handler.post("/config_change_sign_request", change, "application/json; charset=utf-8")
    assert json.loads(answer.body) == {"action": "IGNORE", "requestId": "1"}
    assert handler.post("/tx_sign_request", json.dumps(transaction("2")), "text/plain").status == 415
    deep = f'{{"requestId":"1","a":{"[" * 100_000}{"]" * 100_000}}}'
    bodies: list[str | bytes] = ["", "{", "[]", '"a"', "{}", "[" * 200_000, deep, b'\xff{"requestId":"1"}']
    for body in bodies:
        assert handler.post("/tx_sign_request", body, "application/json").status == 400
    assert handler.post(TX, handler.token(transaction("1"))).status == 404, "no keys, no signed endpoint"


def test_what_nobody_signed_does_not_answer_for_what_was_signed(start: Start) -> None:
    handler = start("--json")
    handler.post("/tx_sign_request", json.dumps(transaction("1", "reject-me")), "application/json")
    assert handler.ask(TX, transaction("1"))["action"] == "APPROVE"


def test_a_large_body_is_refused(start: Start) -> None:
    handler = start()
    connection = handler.connect()
    connection.putrequest("POST", TX)
    connection.putheader("Content-Length", str(400 * 1024))
    connection.endheaders()
    connection.send(b"x" * (384 * 1024 + 1))
    assert connection.getresponse().status == 413
    connection.close()
    largest = transaction("1", padding="x" * (255 * 1024))
    assert handler.ask(TX, largest)["action"] == "APPROVE", "what a co-signer may send fits, though a token is longer"


def test_one_line_is_logged_for_each_request_and_no_secret(start: Start) -> None:
    handler = start()
    token = handler.token(transaction("id-1", "a private note"))
    handler.post(TX, token)
    handler.post(TX, "nonsense")
    text = handler.log_file.read_text()
    answered, refused = handler.log()[-2:]
    assert answered["message"] == "transaction"
    assert (answered["requestId"], answered["txId"], answered["action"]) == ("id-1", "t-1", "APPROVE")
    assert (answered["again"], answered["signed"], answered["level"]) == (False, True, "INFO")
    assert (refused["message"], refused["status"], refused["level"]) == ("refused", 401, "WARN")
    assert sum('"transaction"' in line for line in text.splitlines()) == 1
    for secret in ["a private note", token, token.split(".")[2], "PRIVATE KEY"]:
        assert secret not in text


def test_it_stops_in_order(start: Start) -> None:
    handler = start()
    ready = json.loads(handler.ready_file.read_text())
    assert ready["pid"] == handler.process.pid
    assert ready["listen"] == f"127.0.0.1:{handler.port}"
    connection = handler.connect()
    connection.request("GET", "/healthz")
    assert connection.getresponse().read() == b"ok\n"
    assert handler.stop() == 0
    assert not handler.ready_file.exists()
    connection.close()


@pytest.mark.parametrize(
    ("flags", "status"),
    [
        ([], 2),
        (["--tls-cert", "c", "--tls-key", "k"], 2),
        (["--tls-cert", "c", "--tls-key", "k", "--answer-key", "a"], 2),
        (["--tls-cert", "c", "--tls-key", "k", "--json", "--listen", "localhost"], 2),
        (["--tls-cert", "c", "--tls-key", "k", "--json", "--unknown"], 2),
        (["--tls-cert", "c", "--tls-key", "k", "--json"], 1),
        (["--tls-cert", "c", "--tls-key", "k", "--cosigner-key", "p", "--answer-key", "a"], 1),
        (["--tls-cert", "c", "--tls-key", "k", "--json", "--policy", "p"], 1),
    ],
)
def test_it_does_not_start_half_configured(flags: list[str], status: int) -> None:
    folder = Path(__file__).parent.parent
    command = [sys.executable, "-m", "handler", *flags]
    ended = subprocess.run(command, cwd=folder, env={}, capture_output=True, text=True, timeout=20, check=False)
    assert (ended.returncode, ended.stdout) == (status, ""), ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_environment_configures_it_too(start: Start, tmp_path: Path) -> None:
    other = start()
    environment = {
        "HANDLER_LISTEN": "127.0.0.1:0",
        "HANDLER_TLS_CERT": str(other.folder / "tls-cert"),
        "HANDLER_TLS_KEY": str(other.folder / "tls-key"),
        "HANDLER_COSIGNER_KEY": f"{other.folder / 'cosigner-key'},{tmp_path / 'later'}",
        "HANDLER_ANSWER_KEY": str(other.folder / "answer-key"),
        "HANDLER_POLICY": str(EXAMPLE),
        "HANDLER_JSON": "1",
        "HANDLER_READY_FILE": str(tmp_path / "ready"),
    }
    command = [sys.executable, "-m", "handler"]
    folder = Path(__file__).parent.parent
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as other_one:
        assert other_one.stdout and other_one.stderr
        try:
            other.port = json.loads(other_one.stdout.readline())["port"]
            assert (tmp_path / "ready").exists()
            assert other.ask(TX, transaction("1"))["rejectionReason"] == "the operation RAW is not allowed"
            answer = other.post("/tx_sign_request", json.dumps(transaction("1")), "application/json")
            assert json.loads(answer.body)["action"] == "REJECT"
        finally:
            other_one.terminate()
        assert other_one.wait(10) == 0
