#!/usr/bin/env python3
"""A backend of WebRocket on nothing but Python's standard library.

Usage: backend.py [wr://TOKEN@host:port/vhost]

The URL may also come from the environment, as LISTEN and WEBROCKET_BROWSER_URL
do; see ../README.md.
"""

import html
import json
import os
import random
import re
import socket
import sys
import threading
import time
import uuid
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

CHANNELS = ["lobby", "presence-lobby"]
PERMISSION = "presence-lobby"  # a regular expression over whole channel names
NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")
URL = re.compile(
    r"wr://([A-Za-z0-9]{40})@(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::([0-9]{1,5}))?((?:/[A-Za-z0-9_-]+)+)"
)

REQUEST_TIMEOUT_S = 5
SILENCE_MAX_S = 2  # the broker beats every 0.5 s
RETRY_DELAY_FIRST_S, RETRY_DELAY_MAX_S = 0.2, 10
PACKET_BYTES_MAX = 4 * 1024 * 1024


class Refused(Exception):
    """The broker answered ER; 402 stands for a wrong access token or vhost."""

    def __init__(self, code):
        reason = "wrong access token or unknown vhost" if code == "402" else "refused"
        super().__init__(f"{reason} ({code})")
        self.code = code


# What may pass: the connection, or an answer that makes no sense, or a refusal.
LOST = (OSError, ValueError, LookupError, Refused)


class Broker:
    def __init__(self, url):
        parts = URL.fullmatch(url)
        if not parts:
            sys.exit("backend: the URL is not of the form wr://TOKEN@host:port/vhost")
        self.token, host, port, self.vhost = parts.groups()
        self.host, self.port = host.strip("[]"), int(port or 8081)
        if not 1 <= self.port <= 65535:
            sys.exit("backend: the URL's port is not a number from 1 to 65535")

    def connect(self, role, *frames, timeout):
        """A connection whose first packet begins with the vhost, its token and an id of ours."""
        connection = socket.create_connection((self.host, self.port), timeout)
        try:
            send(connection, f"{role}:{self.vhost}:{self.token}:{uuid.uuid4()}", "", *frames)
        except OSError:
            connection.close()
            raise
        return connection

    def request(self, *frames):
        """One request is one connection; gives the answer's frames after the command."""
        with self.connect("req", *frames, timeout=REQUEST_TIMEOUT_S) as connection:
            with connection.makefile("rb") as stream:
                return receive(stream)[1:]


def send(connection, *frames):
    """A frame is a line, so none may hold a line feed; two lines of CR LF end the packet."""
    connection.sendall("".join(frame + "\n" for frame in frames).encode() + b"\r\n\r\n")


def receive(stream):
    """The next packet's frames, the command first."""
    frames, room = [], PACKET_BYTES_MAX
    while True:
        line = stream.readline(room)
        room -= len(line)
        if not line.endswith(b"\n"):
            cause = "packet too large" if room <= 0 else "connection closed by the broker"
            raise ConnectionError(cause)
        if line == b"\r\n":
            stream.readline(room)  # the other half of the packet's end
            break
        frames.append(line[:-1].decode())
    if frames[0] == "ER":
        raise Refused(frames[1])
    return frames


def work(broker):
    """Keeps a worker at the broker; returns when the broker refuses the token for good."""
    attempt = 0
    while True:
        try:
            for channel in CHANNELS:
                broker.request("OC", channel)  # does no harm to one that is open
            with broker.connect("dlr", "RD", timeout=SILENCE_MAX_S) as connection:
                with connection.makefile("rb") as stream:
                    receive(stream)  # the first HB: the worker is registered
                    log("worker ready")
                    attempt = 0
                    send(connection, "HB")
                    take_turns(broker, connection, stream)
            cause = "the broker says goodbye"
        except LOST as error:
            if isinstance(error, Refused) and error.code == "402":
                return error
            cause = error
        # A random delay: the backends of a broker that restarts shall not return at once.
        delay = random.uniform(0, min(RETRY_DELAY_MAX_S, RETRY_DELAY_FIRST_S * 2**attempt))
        attempt = min(attempt + 1, 10)
        log(f"no broker at {broker.host}:{broker.port}: {cause}; next attempt in {delay:.1f} s")
        time.sleep(delay)


def take_turns(broker, connection, stream):
    while True:
        command, *frames = receive(stream)
        if command == "HB":
            send(connection, "HB")  # without one for 1.5 s the broker gives a worker up
        elif command == "TR":
            handle(broker, frames[0])
        elif command == "QT":
            return


def handle(broker, text):
    """A trigger: {"command": {"sid": ..., "channel": ..., "text": ...}}.

    Heartbeats wait for this: what takes longer than a second belongs in a thread of its own.
    """
    try:
        data = json.loads(text)["command"]
        channel, line = data["channel"], data["text"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return log("ignored a trigger that is no command")
    if channel not in CHANNELS or not isinstance(line, str):
        return log("ignored a command that is malformed")
    verb, _, rest = line.partition(" ")
    if verb == "echo":
        reply = rest
    elif verb == "time":
        reply = datetime.now(timezone.utc).isoformat(timespec="seconds")
    else:
        reply = "commands: echo TEXT, time"
    try:
        # Written as JSON, line feeds are \n, and the payload is one frame.
        broker.request("BC", channel, "answer", json.dumps({"text": reply}))
    except LOST as error:
        log(f"answer not sent: {error}")


class Pages(BaseHTTPRequestHandler):
    timeout = 10  # seconds that a browser may keep us waiting

    def do_GET(self):
        url = urlsplit(self.path)
        if url.path == "/":
            self.reply(200, "text/html; charset=utf-8", self.server.page)
        elif url.path == "/webrocket/auth.json":
            self.reply(*self.auth(parse_qs(url.query).get("name", [""])[0]))
        else:
            self.reply(404, "text/plain", b"not found\n")

    def auth(self, name):
        """Whoever asks gets a token here; an application takes the name from its login."""
        status, body = 200, {}
        try:
            if NAME.fullmatch(name):
                [body["token"]] = self.server.broker.request("AT", name, PERMISSION)
            else:
                status, body["error"] = 400, "name: 1 to 32 letters, digits, _ or -"
        except LOST as error:
            log(f"no token: {error}")
            status, body["error"] = 503, "the broker gives no token"
        return status, "application/json", json.dumps(body).encode()

    def reply(self, status, kind, body):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")  # a token works once
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass  # requests are no news


def log(text):
    print(f"backend: {text}", file=sys.stderr, flush=True)


def main():
    url = sys.argv[1] if len(sys.argv) == 2 else os.environ.get("WEBROCKET_URL")
    if len(sys.argv) > 2 or not url:
        sys.exit("backend: usage: backend.py [wr://TOKEN@host:port/vhost] (or WEBROCKET_URL)")
    broker = Broker(url)
    browser_url = os.environ.get("WEBROCKET_BROWSER_URL", "http://127.0.0.1:8080/example")
    page = (Path(__file__).parent.parent / "page.html").read_text(encoding="utf-8")
    listen = os.environ.get("LISTEN", "127.0.0.1:8000")
    host, _, port = listen.rpartition(":")
    try:
        server = ThreadingHTTPServer((host, int(port)), Pages)
    except (OSError, ValueError, OverflowError) as error:
        sys.exit(f"backend: cannot listen on {listen}: {error}")
    server.broker = broker
    server.page = page.replace("{browser_url}", html.escape(browser_url)).encode()
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"listening on http://{host}:{server.server_port}/", flush=True)
    try:
        sys.exit(f"backend: {work(broker)}")
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
