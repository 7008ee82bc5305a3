"""Calls every route of a node with the client that was generated for it.

    client.py ADMIN-URL WEBSOCKET-URL COOKIE-FILE

`webrocket_admin` is the generated package. An operation that it has and that is
not called here is an error, and so is an answer that is not the one expected.
"""

import importlib
import json
import pkgutil
import sys
from pathlib import Path

import webrocket_admin.api
from webrocket_admin import AuthenticatedClient, Client
from webrocket_admin.models import Event, EventData, Wanted
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

# One vhost with a slash inside, so that escapes are seen to work.
VHOST = "open/api"
TIMEOUT = 20


class Calls:
    """The generated operations by name, and which of them were called."""

    def __init__(self):
        self.client = None
        self.operations = {}
        self.called = set()
        prefix = webrocket_admin.api.__name__ + "."
        for module in pkgutil.walk_packages(webrocket_admin.api.__path__, prefix):
            if not module.ispkg:
                name = module.name.rsplit(".", 1)[1]
                self.operations[name] = importlib.import_module(module.name)

    def __call__(self, name, *path, expect, **rest):
        """Calls one operation and gives what the client made of the answer."""
        answer = self.operations[name].sync_detailed(*path, client=self.client, **rest)
        assert answer.status_code == expect, f"{name}{path}: {answer}"
        self.called.add(name)
        return answer.parsed

    def missing(self):
        return self.operations.keys() - self.called


class Browser:
    """A frontend."""

    def __init__(self, socket):
        self.socket = socket
        self.sid = self.receive()[":connected"]["sid"]

    def receive(self):
        return json.loads(self.socket.recv(timeout=TIMEOUT))

    def subscribe(self, channel):
        self.socket.send(json.dumps({"subscribe": {"channel": channel}}))
        assert self.receive() == {":subscribed": {"channel": channel}}

    def close_code(self):
        try:
            self.socket.recv(timeout=TIMEOUT)
        except ConnectionClosed as closed:
            return closed.rcvd.code
        raise AssertionError("not closed")


def client_of(admin, cookie):
    return AuthenticatedClient(
        base_url=admin,
        token=cookie,
        prefix="",
        auth_header_name="X-WebRocket-Cookie",
        timeout=TIMEOUT,
        raise_on_unexpected_status=True,
    )


def main(admin, websocket, cookie):
    call = Calls()
    # With the cookie these would be vhosts.
    call.client = Client(base_url=admin, timeout=TIMEOUT, raise_on_unexpected_status=True)
    document = call("describe", expect=200)
    assert document.additional_properties["openapi"].startswith("3.1")
    assert "\nwebrocket_ready 1\n" in call("show_metrics", expect=200)
    assert call("check_health", expect=200).status == "ok"
    assert call("check_readiness", expect=200).status == "ok"
    call.client = client_of(admin, Path(cookie).read_text().strip())

    call("create_vhost", VHOST, expect=302)
    assert call("create_vhost", VHOST, expect=400).error == "vhost already exists"
    assert [it.path for it in call("list_vhosts", expect=200).vhosts] == [f"/{VHOST}"]
    before = call("show_vhost", VHOST, expect=200).vhost
    call("regenerate_vhost_token", VHOST, expect=302)
    after = call("show_vhost", VHOST, expect=200).vhost
    assert len(after.access_token) == 40 and after.access_token != before.access_token

    call("begin_session", expect=204)
    call("end_session", expect=204)
    wanted = Wanted(uid="joe", permission="private-.*")
    assert len(call("issue_token", VHOST, body=wanted, expect=201).token) == 128
    refused = call("issue_token", VHOST, body=Wanted(uid="joe", permission="("), expect=400)
    assert refused.error == "invalid permission"

    call("open_channel", VHOST, "news", expect=302)
    call("open_channel", VHOST, "other", expect=302)
    with connect(f"{websocket}/{VHOST}") as socket:
        browser = Browser(socket)
        browser.subscribe("news")
        shown = call("show_channel", VHOST, "news", expect=200).channel
        assert (shown.name, shown.subscribers.size) == ("news", 1)
        sizes = call("list_channels", VHOST, expect=200).channels
        assert [(it.name, it.subscribers.size) for it in sizes] == [("news", 1), ("other", 0)]
        subscribers = call("list_subscribers", VHOST, "news", limit=10, expect=200).subscribers
        assert [(it.sid, it.hidden) for it in subscribers] == [(browser.sid, False)]

        event = Event(event="notice", data=EventData.from_dict({"n": [1, None]}))
        call("send_channel_event", VHOST, "news", body=event, expect=202)
        assert browser.receive() == {"notice": {"n": [1, None], "channel": "news"}}
        call("send_session_event", VHOST, browser.sid, body=Event(event="you"), expect=202)
        assert browser.receive() == {"you": {}}
        reserved = Event(event=":error")
        refused = call("send_session_event", VHOST, browser.sid, body=reserved, expect=400)
        assert refused.error == "invalid event name"

        sessions = call("list_sessions", VHOST, expect=200).sessions
        assert [(it.sid, it.subscriptions) for it in sessions] == [(browser.sid, 1)]
        session = call("show_session", VHOST, browser.sid, expect=200).session
        assert [it.name for it in session.channels] == ["news"]
        stats = call("show_vhost_stats", VHOST, expect=200).stats
        assert (stats.sessions, stats.channels, stats.unused_tokens) == (1, 2, 1)
        # An operator's event is delivered, but is nobody's broadcast.
        assert (stats.broadcasts, stats.deliveries, stats.triggers) == (0, 1, 0)
        node = call("show_stats", expect=200)
        assert [(it.shard, it.backends) for it in node.shards] == [(0, 0), (1, 0)]
        assert [(it.path, it.frontends) for it in node.vhosts] == [(f"/{VHOST}", 1)]
        assert "descriptors" in [it.limit for it in node.headroom]
        assert call("list_workers", VHOST, expect=200).workers == []

        assert call("disconnect_user", VHOST, "joe", expect=404).error == "user has no session"
        assert call("disconnect_session", VHOST, browser.sid, expect=202).disconnected == 1
        assert browser.close_code() == 1008

    call("close_channel", VHOST, "other", expect=202)
    assert call("show_channel", VHOST, "other", expect=404).error == "channel doesn't exist"
    call("clear_channels", VHOST, expect=202)
    call("delete_vhost", VHOST, expect=202)
    call("clear_vhosts", expect=202)

    call.client = client_of(admin, "0" * 40)
    call("list_vhosts", expect=403)

    assert not call.missing(), f"never called: {sorted(call.missing())}"
    print(f"{len(call.called)} operations called")


if __name__ == "__main__":
    main(*sys.argv[1:])
