"""HTTPS with limits, a ready line, and a stop in order."""

import asyncio
import json
import logging
import os
import signal
import socket
import ssl
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from . import __version__
from .config import Configuration

logger = logging.getLogger("handler")

# Connections at once; more are answered with 503.
MAX_CONNECTIONS = 100
# How long a new connection may take until its first request's head is there.
HEAD_TIMEOUT_SECONDS = 10
# How long a connection may be idle between requests.
IDLE_TIMEOUT_SECONDS = 10
# How long running requests may take after a signal to stop.
STOP_TIMEOUT_SECONDS = 5


class TimedProtocol(H11Protocol):
    """Ends a connection that asks nothing."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.loop.call_later(HEAD_TIMEOUT_SECONDS, self._end_without_request)

    def _end_without_request(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            self.transport.close()


class Server(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._on_start()


def serve(app: FastAPI, configuration: Configuration) -> None:
    """Serves until SIGTERM or SIGINT."""
    config = uvicorn.Config(
        app,
        ssl_certfile=configuration.tls_cert,
        ssl_keyfile=configuration.tls_key,
        http=TimedProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=IDLE_TIMEOUT_SECONDS,
        timeout_graceful_shutdown=STOP_TIMEOUT_SECONDS,
    )
    try:
        config.load()
    except ssl.SSLError as error:
        raise OSError(f"cannot use {configuration.tls_cert} with {configuration.tls_key}: {error}") from error
    family = socket.AF_INET6 if ":" in configuration.host else socket.AF_INET
    with socket.create_server((configuration.host, configuration.port), family=family) as listener:
        # The server raises the signal again that stopped it; by then there is nothing left to stop.
        for stop in (signal.SIGTERM, signal.SIGINT):
            signal.signal(stop, lambda *_: None)
        Server(config, lambda: _ready(listener, configuration)).run(sockets=[listener])
    logger.info("stopped")
    if configuration.ready_file:
        configuration.ready_file.unlink(missing_ok=True)


def _ready(listener: socket.socket, configuration: Configuration) -> None:
    host, port = listener.getsockname()[:2]
    listen = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    logger.info("listening", extra={"fields": {"address": listen}})
    if configuration.ready_file:
        ready = {"version": __version__, "pid": os.getpid(), "listen": listen}
        temporary = configuration.ready_file.with_name(configuration.ready_file.name + ".tmp")
        temporary.write_text(json.dumps(ready) + "\n")
        temporary.replace(configuration.ready_file)
    print(json.dumps({"event": "listening", "port": port}), flush=True)
