"""The endpoints: verify, decide, answer, log."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.requests import ClientDisconnect

from .answers import Answers, digest
from .policy import Decision, decide, decide_on_change
from .policy_file import Rules
from .protocol import Keys, Refused, answer, parse_json
from .question import ConfigChange, Malformed, Transaction

logger = logging.getLogger("handler")

# A payload of a co-signer has 256 KiB at most, and a token is a third longer.
MAX_BODY_BYTES = 384 * 1024
BODY_TIMEOUT_SECONDS = 10

Payload = dict[str, Any]


def application(keys: Keys | None, rules: Rules, json_mode: bool) -> FastAPI:
    """The signed endpoints, where there are keys; the plain JSON ones, where they are wanted."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    if keys:
        _add(app, "/v2", Handler(keys, rules))
    if json_mode:
        _add(app, "", Handler(None, rules))
    app.get("/healthz")(_healthz)
    return app


def _add(app: FastAPI, prefix: str, handler: "Handler") -> None:
    transaction = handler.endpoint("transaction", handler.transaction)
    config_change = handler.endpoint("change of configuration", handler.config_change)
    app.post(f"{prefix}/tx_sign_request")(transaction)
    app.post(f"{prefix}/config_change_sign_request")(config_change)


async def _healthz() -> Response:
    return PlainTextResponse("ok\n")


@dataclass(frozen=True)
class Asked:
    """A question that was understood."""

    request_id: str
    decide: Callable[[], Decision]
    logged: dict[str, Any]


class Handler:
    """One way of asking: signed, where it has keys, or plain JSON.

    Each has its own memory: what nobody signed must not decide on what somebody did.
    """

    def __init__(self, keys: Keys | None, rules: Rules) -> None:
        self._keys = keys
        self._rules = rules
        self._answers = Answers()

    def transaction(self, payload: Payload) -> Asked:
        asked = Transaction.parse(payload)
        logged = {
            "txId": asked.tx_id,
            "operation": asked.operation,
            "asset": asked.asset,
            "signerId": asked.signer_id,
            "test": asked.is_test,
        }
        return Asked(asked.request_id, lambda: decide(self._rules, asked), logged)

    def config_change(self, payload: Payload) -> Asked:
        asked = ConfigChange.parse(payload)
        return Asked(asked.request_id, lambda: decide_on_change(self._rules, asked), {"type": asked.type})

    def endpoint(self, kind: str, parse: Callable[[Payload], Asked]) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            started = time.monotonic()
            try:
                payload = self._payload(request, await _body(request))
                asked, content = parse(payload), digest(payload)
            except RecursionError:
                return _refuse(request, Malformed("the body is nested too deeply"))
            except (Refused, Malformed) as error:
                return _refuse(request, error)
            id = f"{kind} {asked.request_id}"
            decision, again = self._answers.get_or_decide(id, content, asked.decide)
            response = self._response(asked.request_id, decision)
            fields = {
                "requestId": asked.request_id,
                **asked.logged,
                "action": decision.action,
                "reason": decision.reason,
                "again": again,
                "signed": self._keys is not None,
                "milliseconds": round((time.monotonic() - started) * 1000),
            }
            logger.info(kind, extra={"fields": fields})
            return response

        return endpoint

    def _payload(self, request: Request, body: bytes) -> Payload:
        if self._keys:
            # Whatever the content type: the signature says what it is.
            return self._keys.verify(body)
        # A web page cannot send this type to another site without asking that site first.
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise Refused(415, "the content type is not application/json")
        return parse_json(body)

    def _response(self, request_id: str, decision: Decision) -> Response:
        if self._keys:
            return Response(self._keys.sign(request_id, decision), media_type="application/jwt")
        return JSONResponse(answer(request_id, decision))


async def _body(request: Request) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise Refused(413, f"the body has more than {MAX_BODY_BYTES} bytes")
    except TimeoutError as error:
        raise Refused(408, f"the body did not come within {BODY_TIMEOUT_SECONDS} s") from error
    except ClientDisconnect as error:
        raise Refused(400, "the connection ended within the body") from error
    return bytes(body)


def _refuse(request: Request, error: Refused | Malformed) -> Response:
    status = error.status if isinstance(error, Refused) else 400
    fields = {"path": request.url.path, "status": status, "error": str(error)}
    logger.warning("refused", extra={"fields": fields})
    return PlainTextResponse(f"{error}\n", status)
