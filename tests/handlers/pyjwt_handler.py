"""A callback handler with PyJWT, used as its documentation shows: an example of what is out there, not to start from.

It says the same to everything. See deploy/callback-handlers for handlers to start from.
"""

import argparse
import json
import ssl
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jwt

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int, default=0)
parser.add_argument("--cert", required=True)
parser.add_argument("--key", required=True)
parser.add_argument("--cosigner-key", type=Path, required=True)
parser.add_argument("--signing-key", type=Path, required=True)
parser.add_argument("--algorithm", choices=["RS256", "ES256"], required=True)
parser.add_argument("--action", choices=["APPROVE", "REJECT"], required=True)
args = parser.parse_args()


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            # Read for every request: the co-signer's key exists only after it is paired.
            public_key = args.cosigner_key.read_text()
            request = jwt.decode(body, public_key, algorithms=["RS256"])
        except (jwt.InvalidTokenError, OSError) as error:
            self.send_error(401, str(error))
            return
        payload = {"action": args.action, "requestId": request["requestId"]}
        if args.action == "REJECT":
            payload["rejectionReason"] = "PyJWT says no"
        encoded = jwt.encode(payload, args.signing_key.read_text(), algorithm=args.algorithm)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(encoded.encode())


server = ThreadingHTTPServer(("127.0.0.1", args.port), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(args.cert, args.key)
server.socket = context.wrap_socket(server.socket, server_side=True)
print(json.dumps({"event": "listening", "port": server.server_port}), flush=True)
server.serve_forever()
