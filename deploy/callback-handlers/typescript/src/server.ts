/** The endpoints: verify, decide, answer, log. */

import express, { type ErrorRequestHandler, type Express, type Request, type RequestHandler } from "express";
import { Answers, digest } from "./answers.js";
import type { JsonObject } from "./json.js";
import { log, said } from "./log.js";
import { decide, decideOnChange, type Decision } from "./policy.js";
import type { Rules } from "./policy-file.js";
import { Refused, answer, parseJson, type Keys } from "./protocol.js";
import { Malformed, parseConfigChange, parseTransaction } from "./question.js";

// A payload of a co-signer has 256 KiB at most, and a token is a third longer.
const MAX_BODY_BYTES = 384 * 1024;

/** A question that was understood. */
interface Asked {
  requestId: string;
  decide: () => Decision;
  logged: JsonObject;
}

/** The signed endpoints, where there are keys; the plain JSON ones, where they are wanted. */
export function application(keys: Keys | undefined, rules: Rules, json: boolean): Express {
  const app = express();
  app.disable("x-powered-by");
  app.disable("etag");
  // Whatever the content type, and never decompressed: a small body cannot become a large one.
  app.use(express.raw({ type: () => true, limit: MAX_BODY_BYTES, inflate: false }));
  if (keys) addEndpoints(app, "/v2", keys, rules);
  if (json) addEndpoints(app, "", undefined, rules);
  app.get("/healthz", (_request, response) => void response.type("text/plain").send("ok\n"));
  app.use(refuse);
  return app;
}

/** One way of asking: signed, where there are keys, or plain JSON. */
function addEndpoints(app: Express, prefix: string, keys: Keys | undefined, rules: Rules): void {
  // Each has its own memory: what nobody signed must not decide on what somebody did.
  const answers = new Answers();
  const transaction = (payload: JsonObject): Asked => {
    const asked = parseTransaction(payload);
    const { requestId, txId, operation, asset, signerId, isTest } = asked;
    return { requestId, decide: () => decide(rules, asked), logged: { txId, operation, asset, signerId, test: isTest } };
  };
  const configChange = (payload: JsonObject): Asked => {
    const asked = parseConfigChange(payload);
    const { requestId, type } = asked;
    return { requestId, decide: () => decideOnChange(rules, asked), logged: { type } };
  };
  app.post(`${prefix}/tx_sign_request`, endpoint("transaction", keys, answers, transaction));
  app.post(`${prefix}/config_change_sign_request`, endpoint("change of configuration", keys, answers, configChange));
}

function endpoint(
  kind: string,
  keys: Keys | undefined,
  answers: Answers,
  parse: (payload: JsonObject) => Asked,
): RequestHandler {
  return (request, response) => {
    const started = performance.now();
    const payload = readPayload(request, keys);
    const { requestId, decide, logged } = parse(payload);
    const { decision, again } = answers.getOrDecide(`${kind} ${requestId}`, digest(payload), decide);
    const signed = keys?.sign(requestId, decision);
    const { action, reason = "" } = decision;
    const milliseconds = Math.round(performance.now() - started);
    log("INFO", kind, { requestId, ...logged, action, reason, again, signed: signed !== undefined, milliseconds });
    if (signed === undefined) {
      response.json(answer(requestId, decision));
    } else {
      response.setHeader("Content-Type", "application/jwt");
      response.end(signed);
    }
  };
}

function readPayload(request: Request, keys: Keys | undefined): JsonObject {
  const body: Buffer = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
  if (keys) return keys.verify(body.toString("utf-8"));
  // A web page cannot send this type to another site without asking that site first.
  const type = request.headers["content-type"]?.split(";", 1)[0]?.trim().toLowerCase();
  if (type !== "application/json") throw new Refused(415, "the content type is not application/json");
  return parseJson(body);
}

/** Express knows an error handler by its four parameters. */
const refuse: ErrorRequestHandler = (error: unknown, request, response, _next) => {
  const status = statusOf(error);
  const message = status === 500 ? "an error of this handler" : said(error);
  log(status === 500 ? "ERROR" : "WARN", "refused", { path: request.path, status, error: said(error) });
  response.status(status).type("text/plain").send(`${message}\n`);
};

function statusOf(error: unknown): number {
  if (error instanceof Refused) return error.status;
  if (error instanceof Malformed) return 400;
  if (error instanceof RangeError) return 400; // nested deeper than the stack is high
  // What Express says of a body that it cannot read.
  const status = error instanceof Error && "status" in error ? error.status : 500;
  return typeof status === "number" && status >= 400 && status < 500 ? status : 500;
}
