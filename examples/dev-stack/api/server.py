"""The example's API: every GET / counts a visit in Postgres and one in Redis.

    GET /         {"postgres_visits": 3, "redis_visits": 3}
    GET /healthz  ok, once both stores answer
"""

import json
import os
import signal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

import psycopg2
import redis

DATABASE_URL = os.environ["DATABASE_URL"]
CACHE = redis.Redis.from_url(os.environ["REDIS_URL"], socket_timeout=5)


class Database:
    """One connection, made again when it broke."""

    def __init__(self, url):
        self.url, self.connection, self.lock = url, None, Lock()

    def number(self, statement):
        """The one number that the statement gives."""
        with self.lock:
            for last_try in (False, True):
                try:
                    if self.connection is None:
                        self.connection = psycopg2.connect(self.url, connect_timeout=5)
                        self.connection.autocommit = True
                    with self.connection.cursor() as cursor:
                        cursor.execute(statement)
                        return cursor.fetchone()[0]
                except psycopg2.OperationalError:
                    self.connection = None
                    if last_try:
                        raise


DATABASE = Database(DATABASE_URL)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        try:
            if self.path == "/":
                self.answer(200, self.visit())
            elif self.path == "/healthz":
                DATABASE.number("SELECT 1")
                CACHE.ping()
                self.answer(200, {"status": "ok"})
            else:
                self.answer(404, {"error": f"nothing at {self.path}"})
        except (psycopg2.Error, redis.RedisError) as error:
            self.answer(503, {"error": str(error).strip()})

    def visit(self):
        return {
            "postgres_visits": DATABASE.number("UPDATE visits SET total = total + 1 RETURNING total"),
            "redis_visits": CACHE.incr("visits"),
        }

    def answer(self, status, value):
        body = json.dumps(value).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code="-", size="-"):
        if self.path != "/healthz":
            super().log_request(code, size)


def stop(_signal, _frame):
    raise SystemExit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)
    server = ThreadingHTTPServer(("", 8080), Handler)
    server.daemon_threads = True
    print("listening on port 8080", flush=True)
    server.serve_forever()
