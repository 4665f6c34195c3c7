/** What a co-signer meets. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { test, type TestContext } from "node:test";
import jwt from "jsonwebtoken";
import { EXAMPLE } from "./cases.js";
import { Folder, MAIN, Running, p256, privatePem, publicPem, rsa, type Options } from "./process.js";

const TX = "/v2/tx_sign_request";
const CHANGE = "/v2/config_change_sign_request";

async function start(context: TestContext, options: Options = {}): Promise<Running> {
  const running = await Running.start(options);
  context.after(async () => {
    await running.stop();
    running.folder.remove();
  });
  return running;
}

function transaction(id: string, more: Record<string, unknown> = {}): Record<string, unknown> {
  return { requestId: id, txId: "t-1", operation: "RAW", asset: "ETH", note: "rent", rawTx: [], ...more };
}

for (const [name, make] of [["RS256", rsa], ["ES256", p256]] as const) {
  test(`it approves, rejects with a reason, and says the same again (${name})`, async (context) => {
    const handler = await start(context, { answer: make() });
    assert.deepEqual(await handler.ask(TX, transaction("1")), { action: "APPROVE", requestId: "1" });
    const noted = transaction("2", { note: "reject-me" });
    const rejected = { action: "REJECT", requestId: "2", rejectionReason: 'the note is "reject-me"' };
    assert.deepEqual(await handler.ask(TX, noted), rejected);
    assert.deepEqual(await handler.ask(TX, noted), rejected);
    const other = await handler.ask(TX, transaction("2"));
    assert.equal(other["action"], "REJECT", "other content under the same id");
    const change = await handler.ask(CHANGE, { requestId: "2", type: "ADD_USER" });
    assert.deepEqual(change, { action: "IGNORE", requestId: "2" });
  });
}

test("an attempt that is dated anew is the same question", async (context) => {
  const handler = await start(context);
  const now = Math.floor(Date.now() / 1000);
  for (const jti of ["a", "b"]) {
    const dated = transaction("1", { iat: now, nbf: now, exp: now + 60, jti });
    assert.deepEqual(await handler.ask(TX, dated), { action: "APPROVE", requestId: "1" });
  }
});

test("it follows its policy", async (context) => {
  const handler = await start(context, { flags: ["--policy", EXAMPLE] });
  const destAddress = "0x52908400098527886E0F7030069857D2E4169EE7";
  const transfer = transaction("1", { operation: "TRANSFER", amountStr: "1", destAddress });
  assert.equal((await handler.ask(TX, transfer))["action"], "APPROVE");
  const raw = await handler.ask(TX, transaction("2"));
  assert.equal(raw["rejectionReason"], "the operation RAW is not allowed");
  for (let i = 0; i < 2; i++) {
    const later = await handler.ask(TX, { ...transfer, requestId: "3", amountStr: "3" });
    assert.deepEqual(later, { action: "RETRY", requestId: "3" });
  }
  const change = await handler.ask(CHANGE, { requestId: "4", type: "ADD_USER", extraInfo: {} });
  assert.equal(change["action"], "APPROVE");
  const other = await handler.ask(CHANGE, { requestId: "5", type: "COSIGNER_CALLBACK", extraInfo: {} });
  assert.equal(other["action"], "REJECT");
});

test("an operator's test is answered as any other request", async (context) => {
  const handler = await start(context, { flags: ["--policy", EXAMPLE] });
  const probe = transaction("1", { operation: "TYPED_MESSAGE", extraParameters: { countersign: { test: true } } });
  const rejectionReason = "the operation TYPED_MESSAGE is not allowed";
  assert.deepEqual(await handler.ask(TX, probe), { action: "REJECT", requestId: "1", rejectionReason });
  assert.equal(handler.log().at(-1)?.["test"], true);
});

test("it answers nobody but its co-signers", async (context) => {
  const second = new Folder();
  context.after(() => second.remove());
  const handler = await start(context, { flags: ["--cosigner-key", second.file("cosigner-key")] });
  const payload = transaction("1");
  const now = Math.floor(Date.now() / 1000);
  for (const body of [
    jwt.sign(payload, privatePem(rsa()), { algorithm: "RS256" }),
    jwt.sign(payload, handler.folder.cosigner.privateKey, { algorithm: "RS512" }),
    jwt.sign(payload, publicPem(handler.folder.cosigner), { algorithm: "HS256" }),
    jwt.sign(payload, "", { algorithm: "none" }),
    handler.token({ ...payload, exp: now - 120 }),
    handler.token({ ...payload, nbf: now + 120 }),
    jwt.sign(JSON.stringify({ ...payload, exp: "tomorrow" }), handler.folder.cosigner.privateKey, { algorithm: "RS256" }),
    handler.token({ ...payload, aud: "somebody else" }),
    JSON.stringify(payload),
    "not a token",
    "é",
    "",
  ]) {
    assert.equal((await handler.post(TX, body)).status, 401, body);
  }
  assert.equal((await handler.post(TX, handler.token({ txId: "t" }))).status, 400);
  assert.equal((await handler.postJson("/tx_sign_request", payload)).status, 404);
  assert.equal((await handler.ask(TX, payload))["action"], "APPROVE");
  const also = jwt.sign(transaction("2"), second.cosigner.privateKey, { algorithm: "RS256" });
  assert.equal((await handler.post(TX, also, "text/plain")).status, 200, "a second co-signer, another content type");
});

test("a co-signer's key can come and go while it runs", async (context) => {
  const handler = await start(context);
  const key = handler.folder.file("cosigner-key");
  const pem = readFileSync(key, "utf-8");
  rmSync(key);
  assert.equal((await handler.post(TX, handler.token(transaction("1")))).status, 401);
  handler.folder.write("cosigner-key", "nonsense");
  assert.equal((await handler.post(TX, handler.token(transaction("1")))).status, 401);
  handler.folder.write("cosigner-key", pem);
  assert.equal((await handler.ask(TX, transaction("1")))["action"], "APPROVE");
});

test("plain JSON is served where it is switched on", async (context) => {
  const handler = await start(context, { flags: ["--json"], signed: false });
  const answer = await handler.postJson("/tx_sign_request", transaction("1", { note: "reject-me" }));
  assert.equal(answer.status, 200);
  assert.match(answer.type, /^application\/json/);
  const expected = { action: "REJECT", requestId: "1", rejectionReason: 'the note is "reject-me"' };
  assert.deepEqual(JSON.parse(answer.body), expected);
  const change = JSON.stringify({ requestId: "1", type: "ADD_USER" });
  const changed = await handler.post("/config_change_sign_request", change, "application/json; charset=utf-8");
  assert.deepEqual(JSON.parse(changed.body), { action: "IGNORE", requestId: "1" });
  const text = await handler.post("/tx_sign_request", JSON.stringify(transaction("2")), "text/plain");
  assert.equal(text.status, 415);
  const deep = `{"requestId":"1","a":${"[".repeat(100_000)}${"]".repeat(100_000)}}`;
  const latin = Buffer.from('\xff{"requestId":"1"}', "latin1");
  for (const body of ["", "{", "[]", '"a"', "{}", "[".repeat(200_000), deep, latin]) {
    assert.equal((await handler.post("/tx_sign_request", body, "application/json")).status, 400);
  }
  assert.equal((await handler.post(TX, handler.token(transaction("1")))).status, 404, "no keys, no signed endpoint");
});

test("what nobody signed does not answer for what was signed", async (context) => {
  const handler = await start(context, { flags: ["--json"] });
  await handler.postJson("/tx_sign_request", transaction("1", { note: "reject-me" }));
  assert.equal((await handler.ask(TX, transaction("1")))["action"], "APPROVE");
});

test("a large body is refused", async (context) => {
  const handler = await start(context);
  assert.equal((await handler.post(TX, "x".repeat(384 * 1024 + 1))).status, 413);
  const largest = transaction("1", { padding: "x".repeat(255 * 1024) });
  const answer = await handler.ask(TX, largest);
  assert.equal(answer["action"], "APPROVE", "what a co-signer may send fits, though a token is longer");
});

test("one line is logged for each request, and no secret", async (context) => {
  const handler = await start(context);
  const token = handler.token(transaction("id-1", { note: "a private note" }));
  await handler.post(TX, token);
  await handler.post(TX, "nonsense");
  const [answered, refused] = handler.log().slice(-2);
  assert(answered && refused);
  assert.equal(answered["message"], "transaction");
  assert.deepEqual([answered["requestId"], answered["txId"], answered["action"]], ["id-1", "t-1", "APPROVE"]);
  assert.deepEqual([answered["again"], answered["signed"], answered["level"]], [false, true, "INFO"]);
  assert.deepEqual([refused["message"], refused["status"], refused["level"]], ["refused", 401, "WARN"]);
  const text = handler.logText();
  assert.equal(text.split("\n").filter((line) => line.includes('"transaction"')).length, 1);
  for (const secret of ["a private note", token, token.split(".")[2] ?? token, "PRIVATE KEY"]) {
    assert(!text.includes(secret));
  }
});

test("it stops in order", async (context) => {
  const handler = await start(context);
  const ready = JSON.parse(readFileSync(handler.folder.file("ready"), "utf-8")) as Record<string, unknown>;
  assert.equal(ready["pid"], handler.process.pid);
  assert.equal(ready["listen"], `127.0.0.1:${handler.port}`);
  assert.equal(await handler.stop(), 0);
  assert(!existsSync(handler.folder.file("ready")));
});

test("it does not start half configured", () => {
  const tls = ["--tls-cert", "c", "--tls-key", "k"];
  const cases: [string[], number][] = [
    [[], 2],
    [tls, 2],
    [[...tls, "--answer-key", "a"], 2],
    [[...tls, "--json", "--listen", "localhost"], 2],
    [[...tls, "--json", "--unknown"], 2],
    [[...tls, "--json"], 1],
    [[...tls, "--cosigner-key", "p", "--answer-key", "a"], 1],
    [[...tls, "--json", "--policy", "p"], 1],
  ];
  for (const [flags, status] of cases) {
    const ended = spawnSync(process.execPath, [MAIN, ...flags], { env: {}, encoding: "utf-8", timeout: 20_000 });
    assert.deepEqual([ended.status, ended.stdout], [status, ""], `${flags.join(" ")}: ${ended.stderr}`);
  }
});

test("the environment configures it, too", async (context) => {
  const environment = (folder: Folder): Record<string, string> => ({
    HANDLER_LISTEN: "127.0.0.1:0",
    HANDLER_TLS_CERT: folder.file("tls-cert"),
    HANDLER_TLS_KEY: folder.file("tls-key"),
    HANDLER_COSIGNER_KEY: `${folder.file("cosigner-key")},${folder.file("later")}`,
    HANDLER_ANSWER_KEY: folder.file("answer-key"),
    HANDLER_POLICY: EXAMPLE,
    HANDLER_JSON: "1",
    HANDLER_READY_FILE: folder.file("ready"),
  });
  const handler = await start(context, { environment });
  assert(existsSync(handler.folder.file("ready")));
  const rejected = await handler.ask(TX, transaction("1"));
  assert.equal(rejected["rejectionReason"], "the operation RAW is not allowed");
  assert.equal((await handler.postJson("/tx_sign_request", transaction("1"))).status, 200);
});
