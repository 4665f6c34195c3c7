/**
 * A callback handler to start from: it verifies what a co-signer asks, decides by a policy, answers, and logs.
 *
 * | file              | what it answers                                                    |
 * |-------------------|--------------------------------------------------------------------|
 * | `protocol.ts`     | Is this really my co-signer's question? How do I sign my answer?   |
 * | `question.ts`     | What am I asked, and what of it may I decide on?                   |
 * | `policy.ts`       | What do I approve? **Your own rules go here.**                     |
 * | `policy-file.ts`  | How is the policy file read?                                       |
 * | `answers.ts`      | Was I asked this before?                                           |
 * | `server.ts`       | How do these go together over HTTP?                                |
 * | `config.ts`       | Flags and environment variables.                                   |
 * | `serving.ts`      | HTTPS, limits, ready line, stop.                                   |
 */

import { readFileSync } from "node:fs";
import { HELP, InvalidConfiguration, VERSION, configuration, type Configuration } from "./config.js";
import { log, said } from "./log.js";
import { DEMONSTRATION, parseRules, type Rules } from "./policy-file.js";
import { Keys } from "./protocol.js";
import { application } from "./server.js";
import { serve } from "./serving.js";

function main(): void {
  let config: ReturnType<typeof configuration>;
  try {
    config = configuration(process.argv.slice(2), process.env);
  } catch (error) {
    if (!(error instanceof InvalidConfiguration)) throw error;
    console.error(`${error.message}\nSee --help.`);
    process.exitCode = 2;
    return;
  }
  if (config === "help" || config === "version") {
    console.log(config === "help" ? HELP : VERSION);
    return;
  }
  try {
    const rules = readRules(config);
    const keys = config.keys && new Keys(config.keys.cosigners, config.keys.answer);
    serve(application(keys, rules, config.json), config);
  } catch (error) {
    log("ERROR", "cannot start", { error: said(error) });
    process.exitCode = 1;
  }
}

function readRules({ policy }: Configuration): Rules {
  if (policy !== undefined) return parseRules(readFileSync(policy, "utf-8"));
  log("WARN", "no --policy: this demonstration approves everything but the note reject-me");
  return parseRules(DEMONSTRATION);
}

main();
