// A callback handler with jsonwebtoken, used as its documentation shows: an example of what is out there, not to start
// from. It says the same to everything. See deploy/callback-handlers for handlers to start from.
const fs = require("node:fs");
const https = require("node:https");
const { parseArgs } = require("node:util");
const jwt = require("jsonwebtoken");

const { values: args } = parseArgs({
  options: {
    port: { type: "string", default: "0" },
    cert: { type: "string" },
    key: { type: "string" },
    "cosigner-key": { type: "string" },
    "signing-key": { type: "string" },
    algorithm: { type: "string" },
    action: { type: "string" },
  },
});

const server = https.createServer({ cert: fs.readFileSync(args.cert), key: fs.readFileSync(args.key) }, (req, res) => {
  let body = "";
  req.on("data", (chunk) => (body += chunk));
  req.on("end", () => {
    let request;
    try {
      // Read for every request: the co-signer's key exists only after it is paired.
      const publicKey = fs.readFileSync(args["cosigner-key"]);
      request = jwt.verify(body, publicKey, { algorithms: ["RS256"] });
    } catch (err) {
      res.writeHead(401).end(err.message);
      return;
    }
    const payload = { action: args.action, requestId: request.requestId };
    if (args.action === "REJECT") payload.rejectionReason = "jsonwebtoken says no";
    // It adds `iat`.
    res.end(jwt.sign(payload, fs.readFileSync(args["signing-key"]), { algorithm: args.algorithm }));
  });
});

server.listen(Number(args.port), "127.0.0.1", () => {
  console.log(JSON.stringify({ event: "listening", port: server.address().port }));
});
