/** The log: one JSON object a line on standard error. Bodies, tokens and keys are never logged. */

export function log(level: "INFO" | "WARN" | "ERROR", message: string, fields: Record<string, unknown> = {}): void {
  process.stderr.write(`${JSON.stringify({ timestamp: new Date().toISOString(), level, message, ...fields })}\n`);
}

/** What an error says of itself. */
export function said(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
