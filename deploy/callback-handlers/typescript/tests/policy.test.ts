/** The rules, by the cases that all samples share. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { decide, decideOnChange, type Decision } from "../src/policy.js";
import { DEMONSTRATION, InvalidPolicy, parseRules } from "../src/policy-file.js";
import { Malformed, parseTransaction } from "../src/question.js";
import { EXAMPLE, policies, transactions, type Expected } from "./cases.js";

const example = parseRules(readFileSync(EXAMPLE, "utf-8"));

function check(decision: Decision, expected: Expected): void {
  assert.deepEqual({ action: decision.action, reason: decision.reason }, { action: expected.action, reason: expected.reason });
}

for (const expected of transactions.cases) {
  test(`the example policy decides: ${expected.name}`, () => {
    const changed = { ...transactions.transaction, ...expected.change };
    const payload = Object.fromEntries(Object.entries(changed).filter(([, value]) => value !== null));
    if (expected.error === undefined) {
      check(decide(example, parseTransaction(payload)), expected);
    } else {
      assert.throws(() => parseTransaction(payload), new Malformed(expected.error));
    }
  });
}

for (const expected of policies.decisions) {
  test(`another policy decides: ${expected.name}`, () => {
    check(decide(parseRules(JSON.stringify(expected.policy)), parseTransaction(expected.transaction)), expected);
  });
}

test("changes of configuration are decided", () => {
  for (const expected of policies.configChanges) {
    const rules = parseRules(JSON.stringify(expected.policy));
    check(decideOnChange(rules, { requestId: "1", type: expected.type }), expected);
  }
});

test("a policy that is not as expected is refused", () => {
  for (const text of policies.refused) assert.throws(() => parseRules(text), InvalidPolicy, text);
});

test("the demonstration rejects one note only", () => {
  const rules = parseRules(DEMONSTRATION);
  for (const payload of [{ requestId: "1" }, { requestId: "1", operation: "RAW", asset: "X", note: "rent" }]) {
    assert.deepEqual(decide(rules, parseTransaction(payload)), { action: "APPROVE" });
  }
  const rejected = decide(rules, parseTransaction({ requestId: "1", note: "reject-me" }));
  assert.deepEqual(rejected, { action: "REJECT", reason: 'the note is "reject-me"' });
});
