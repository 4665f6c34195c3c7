/** The cases that all samples share; the tests run in this sample's folder. */

import { readFileSync } from "node:fs";

export const EXAMPLE = "../policy.example.json";

export interface Expected {
  name?: string;
  action?: string;
  reason?: string;
  error?: string;
}

interface Transactions {
  transaction: Record<string, unknown>;
  cases: (Expected & { change: Record<string, unknown> })[];
}

interface Policies {
  decisions: (Expected & { policy: unknown; transaction: Record<string, unknown> })[];
  configChanges: (Expected & { policy: unknown; type: string })[];
  refused: string[];
}

export const transactions = JSON.parse(readFileSync("../cases/transactions.json", "utf-8")) as Transactions;
export const policies = JSON.parse(readFileSync("../cases/policies.json", "utf-8")) as Policies;
