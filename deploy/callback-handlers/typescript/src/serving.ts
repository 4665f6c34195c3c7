/** HTTPS with limits, a ready line, and a stop in order. */

import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Express } from "express";
import { VERSION, type Configuration } from "./config.js";
import { log, said } from "./log.js";

/** Connections at once; more are closed. */
const MAX_CONNECTIONS = 100;
/** How long the TLS handshake, the head of a request, and a whole request may take. */
const HANDSHAKE_TIMEOUT_MS = 10_000;
const HEAD_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 15_000;
/** How long a connection may be idle between requests. */
const IDLE_TIMEOUT_MS = 10_000;
/** How long running requests may take after a signal to stop. */
const STOP_TIMEOUT_MS = 5_000;

/** Serves until SIGTERM or SIGINT. */
export function serve(app: Express, { host, port, tlsCert, tlsKey, readyFile }: Configuration): void {
  const options = {
    cert: readFileSync(tlsCert),
    key: readFileSync(tlsKey),
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    headersTimeout: HEAD_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: IDLE_TIMEOUT_MS,
    connectionsCheckingInterval: 1_000,
  };
  const server = createServer(options, app);
  server.maxConnections = MAX_CONNECTIONS;
  server.on("error", (error) => {
    log("ERROR", "cannot serve", { error: said(error) });
    process.exitCode = 1;
  });
  server.listen(port, host, () => ready(server.address() as AddressInfo, readyFile));

  const stop = (): void => {
    server.close(() => {
      if (readyFile !== undefined) rmSync(readyFile, { force: true });
      log("INFO", "stopped");
    });
    server.closeIdleConnections();
    setTimeout(() => server.closeAllConnections(), STOP_TIMEOUT_MS).unref();
  };
  process.once("SIGTERM", stop);
  process.once("SIGINT", stop);
}

function ready({ address, family, port }: AddressInfo, readyFile: string | undefined): void {
  const listen = family === "IPv6" ? `[${address}]:${port}` : `${address}:${port}`;
  log("INFO", "listening", { address: listen });
  if (readyFile !== undefined) {
    writeFileSync(`${readyFile}.tmp`, `${JSON.stringify({ version: VERSION, pid: process.pid, listen })}\n`);
    renameSync(`${readyFile}.tmp`, readyFile);
  }
  console.log(JSON.stringify({ event: "listening", port }));
}
