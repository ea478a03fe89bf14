#!/usr/bin/env python3
"""The small service that deploy/quickstart puts behind the tunnel when it is told no port.

    sample-service.py --port 3000          or: --unix PATH

GET /          a page that says hello
GET /events    server-sent events, one a second
any  /echo     the request's body, back as it came
"""
import argparse
import html
import socketserver
import time
from http.server import BaseHTTPRequestHandler

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>PipeGate sample</title>
<style>body {{ font: 1.1em/1.5 sans-serif; max-width: 40em; margin: 3em auto; padding: 0 1em }}</style>
<h1>It works.</h1>
<p>This page came through the tunnel: you asked for <code>{target}</code> as <code>{host}</code>.</p>
<p>Server-sent events, one a second: <output id="events">waiting</output></p>
<p>Try also <code>curl --data-binary @file .../echo</code>.</p>
<script>
new EventSource("events").onmessage = event => document.getElementById("events").textContent = event.data
</script></html>
"""


class Sample(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "pipegate-sample"

    def answer(self):
        path = self.path.partition("?")[0]
        body = self.body()
        if path.endswith("/echo"):
            self.reply(200, self.headers.get("Content-Type", "application/octet-stream"), body)
        elif path.endswith("/events"):
            self.events()
        elif path == "/":
            host = self.headers.get("X-Forwarded-Host") or self.headers.get("Host", "")
            page = PAGE.format(target=html.escape(self.path), host=html.escape(host))
            self.reply(200, "text/html; charset=utf-8", page.encode())
        else:
            self.reply(404, "text/plain; charset=utf-8", b"There is /, /events and /echo.\n")

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer

    def body(self):
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(parts)

    def reply(self, status, kind, body):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def events(self):
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            while self.command != "HEAD":
                self.wfile.write(b"data: %s\n\n" % time.strftime("%H:%M:%S").encode())
                self.wfile.flush()
                time.sleep(1)
        except OSError:
            pass  # the visitor went away

    def address_string(self):
        return self.client_address[0] if isinstance(self.client_address, tuple) else "local"

    def log_message(self, *_):
        pass  # the client prints the request log


class Tcp(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
    request_queue_size = 128


class Unix(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 128


def main():
    options = argparse.ArgumentParser(description="The sample service of deploy/quickstart.")
    where = options.add_mutually_exclusive_group(required=True)
    where.add_argument("--port", type=int)
    where.add_argument("--unix", metavar="PATH")
    told = options.parse_args()
    server = Unix(told.unix, Sample) if told.unix else Tcp(("127.0.0.1", told.port), Sample)
    server.serve_forever()


if __name__ == "__main__":
    main()
