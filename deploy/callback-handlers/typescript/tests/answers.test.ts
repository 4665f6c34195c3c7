/** The memory of answers. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Answers, MAX_ANSWERS, digest } from "../src/answers.js";
import type { Decision } from "../src/policy.js";

const approve = (): Decision => ({ action: "APPROVE" });
const ignore = (): Decision => ({ action: "IGNORE" });
const retry = (): Decision => ({ action: "RETRY" });

test("the same question gets the same answer, and another one under its id is rejected", () => {
  const answers = new Answers();
  assert.deepEqual(answers.getOrDecide("a", "1", approve), { decision: approve(), again: false });
  assert.deepEqual(answers.getOrDecide("a", "1", ignore), { decision: approve(), again: true });
  assert.equal(answers.getOrDecide("a", "2", approve).decision.action, "REJECT");
  assert.deepEqual(answers.getOrDecide("a", "1", ignore), { decision: approve(), again: true });
});

test("a retry is decided anew", () => {
  const answers = new Answers();
  assert.deepEqual(answers.getOrDecide("a", "1", retry), { decision: retry(), again: false });
  assert.deepEqual(answers.getOrDecide("a", "1", approve), { decision: approve(), again: false });
});

test("memory is bounded, and the oldest goes first", () => {
  const answers = new Answers();
  for (let i = 0; i <= MAX_ANSWERS; i++) answers.getOrDecide(String(i), "", approve);
  assert.deepEqual(answers.getOrDecide("1", "", ignore), { decision: approve(), again: true });
  assert.deepEqual(answers.getOrDecide("0", "", ignore), { decision: ignore(), again: false });
});

test("the content is everything but the time of the attempt", () => {
  const asked = { requestId: "1", extra: { b: 1, a: [{ d: 1, c: 2 }] }, iat: 1, jti: "a" };
  const same = { jti: "b", exp: 2, nbf: 3, extra: { a: [{ c: 2, d: 1 }], b: 1 }, requestId: "1" };
  assert.equal(digest(asked), digest(same));
  assert.notEqual(digest(asked), digest({ ...asked, extra: { b: 1, a: [{ d: 1, c: 3 }] } }));
});
