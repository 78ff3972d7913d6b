"""A token server for Debian's docker-registry: signs what it grants.

    token_server.py PORT KEY CERTIFICATE LOG

`user` with the password `secret`, or with the identity token `idt`, may do
everything; others may pull from repositories below `public/`. Each request
becomes a line of LOG: method, account, scopes.
"""

import base64
import json
import subprocess
import sys
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT, KEY, CERTIFICATE, LOG = int(sys.argv[1]), *sys.argv[2:5]


def url_base64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def certificate():
    with open(CERTIFICATE, encoding="ascii") as file:
        return "".join(line.strip() for line in file if "-----" not in line)


def token(account, scopes, service):
    access = []
    for scope in scopes:
        kind, name, actions = scope.split(":", 2)
        actions = actions.split(",")
        if account is None:
            actions = [action for action in actions if action == "pull" and name.startswith("public/")]
        access.append({"type": kind, "name": name, "actions": actions})
    now = int(time.time())
    header = {"typ": "JWT", "alg": "RS256", "x5c": [certificate()]}
    claims = {
        "iss": "test", "sub": account or "", "aud": service, "nbf": now - 60, "iat": now, "exp": now + 300,
        "jti": str(time.time_ns()), "access": access,
    }
    signed = b".".join(url_base64(json.dumps(part).encode()) for part in (header, claims))
    sign = ["openssl", "dgst", "-sha256", "-sign", KEY]
    signature = subprocess.run(sign, input=signed, stdout=subprocess.PIPE, check=True).stdout
    return (signed + b"." + url_base64(signature)).decode()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        fields = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        account = None
        kind, _, value = self.headers.get("Authorization", "").partition(" ")
        if kind == "Basic":
            if base64.b64decode(value) != b"user:secret":
                return self.answer(401, {"details": "incorrect username or password"})
            account = "user"
        self.grant(account, fields.get("scope", []), fields)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        fields = urllib.parse.parse_qs(body)
        if fields.get("refresh_token") != ["idt"]:
            return self.answer(401, {"details": "unknown refresh token"})
        self.grant("user", fields.get("scope", [""])[0].split(), fields)

    def grant(self, account, scopes, fields):
        with open(LOG, "a", encoding="ascii") as log:
            print(self.command, account or "nobody", *scopes, file=log)
        granted = token(account, scopes, fields.get("service", [""])[0])
        self.answer(200, {"token": granted, "access_token": granted, "expires_in": 300})

    def answer(self, status, body):
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
