"""An HTTP proxy: absolute addresses and CONNECT.

    proxy.py PORT LOG

Each request becomes a line of LOG: method and target.
"""

import http.client
import socket
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT, LOG = int(sys.argv[1]), sys.argv[2]


def relay(source, target):
    try:
        while data := source.recv(1 << 16):
            target.sendall(data)
    except OSError:
        pass
    finally:
        target.close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def note(self):
        with open(LOG, "a", encoding="ascii") as log:
            print(self.command, self.path, file=log)

    def do_CONNECT(self):
        self.note()
        host, port = self.path.rsplit(":", 1)
        there = socket.create_connection((host, int(port)))
        self.send_response(200)
        self.end_headers()
        back = threading.Thread(target=relay, args=(there, self.connection))
        back.start()
        relay(self.connection, there)
        back.join()
        self.close_connection = True

    def forward(self):
        self.note()
        url = urllib.parse.urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        there = http.client.HTTPConnection(url.netloc)
        target = url.path + ("?" + url.query if url.query else "")
        there.request(self.command, target, body, dict(self.headers))
        answer = there.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "date", "server"):
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = forward

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
