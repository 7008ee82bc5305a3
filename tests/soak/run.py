#!/usr/bin/env python3
"""A broker under mixed load for as long as it is told: is what it holds flat?

  tests/soak/run.py target/release/webrocket target/release/loadgen \
      [--duration SECONDS] [--svg FILE] [--csv FILE]

One loadgen runs the scenario `soak` in a vhost of its own all the time. Beside
it, in another vhost, short rounds come and go: fan-out, chat, triggers, a
storm, idle connections, readers that stand still. Every few seconds the node's
memory, open descriptors, sessions, subscriptions and the size of its store are
written down. Ends with 0 only when

- every load came through without loss, duplicates and disorder;
- memory, descriptors and the store did not grow over the time after the warm-up;
- sessions, subscriptions and connections are zero after the load, and
  descriptors as many as before it.

Needs nothing but Python's own library.
"""

import argparse
import csv
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

from plot import draw

HERE = os.path.dirname(os.path.abspath(__file__))
SCENARIO = os.path.join(HERE, "..", "..", "loadgen", "scenarios", "soak.toml")
# Late deliveries are waited for: how fast this machine is, is not the question here.
PATIENT = ["--connect-rate", "500", "--drain"]
ROUNDS = {
    "fanout": ["--clients", "200", "--channels", "2", "--rate", "20", "--size", "200"],
    # Without churn: who comes back before the node knows of its leaving is seen twice, rightly.
    "presence": ["--clients", "100", "--channels", "5", "--channel-kind", "presence", "--rate", "20"],
    "chat": ["--clients", "200", "--channels", "20", "--publishers", "5", "--rate", "100"],
    "trigger": ["--clients", "100", "--channels", "20", "--rate", "20", "--workers", "2",
                "--trigger-rate", "50", "--replies"],
    "storm": ["--clients", "200", "--channels", "10", "--rate", "50", "--churn", "20", "--storm", "2s"],
    "idle": ["--clients", "500", "--idle"],
    "slow readers": ["--clients", "10", "--channels", "1", "--rate", "40", "--size", "50000",
                     "--slow-clients", "10"],
}
# What may be added over the time after the warm-up: a share of the mean, or an
# amount where that is more. Buffers of a shard come and go within it.
GROWTH_SHARE = 0.10
GROWTH_LEAST = {"rss_bytes": 8 << 20, "pss_bytes": 8 << 20, "descriptors": 16, "store_bytes": 4 << 20}
# Time that a node has to let go of what it held: those who were evicted linger for 15 s.
RELEASE_S = 20


class Node:
    """The broker, in a directory of its own."""

    def __init__(self, program, work):
        self.store = os.path.join(work, "store")
        self.log = open(os.path.join(work, "node.log"), "w+")
        any_port = "127.0.0.1:0"
        self.process = subprocess.Popen(
            [program, "serve", "--node-name", "soak", "--storage-dir", self.store, "--shards", "2",
             "--websocket-addr", any_port, "--backend-addr", any_port, "--admin-addr", any_port],
            stdout=self.log, stderr=subprocess.STDOUT)
        self.addresses = self.wait_for_addresses()
        with open(os.path.join(self.store, "soak.cookie")) as cookie:
            self.cookie = cookie.read().strip()

    def wait_for_addresses(self):
        for _ in range(300):
            if self.process.poll() is not None:
                break
            with open(self.log.name) as log:
                lines = [line.split() for line in log]
            found = {line[0]: line[1] for line in lines if len(line) > 1}
            if "admin" in found:
                return found
            time.sleep(0.1)
        with open(self.log.name) as log:
            sys.exit("the node does not start:\n" + log.read())

    def ask(self, path, method="GET", cookie=True):
        headers = {"X-WebRocket-Cookie": self.cookie} if cookie else {}
        request = urllib.request.Request(self.addresses["admin"] + path, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read().decode()

    def add_vhost(self, name):
        """What loadgen needs to know of it."""
        # The answer's redirection leads to the vhost.
        self.ask(f"/{name}", "POST")
        token = json.loads(self.ask(f"/{name}"))["vhost"]["accessToken"]
        websocket = self.addresses["websocket"].rstrip("/")
        backend = self.addresses["backend"].split("://")[-1].rstrip("/")
        return ["--url", f"{websocket}/{name}", "--backend", f"wr://{token}@{backend}/{name}"]

    def look(self):
        """One sample of all that must not grow."""
        memory = {}
        with open(f"/proc/{self.process.pid}/smaps_rollup") as rollup:
            for line in rollup:
                name, *rest = line.split()
                if name in ("Rss:", "Pss:"):
                    memory[name] = int(rest[0]) * 1024
        # With the cookie it would be a vhost of that name.
        metrics = Metrics(self.ask("/metrics", cookie=False))
        vhosts = [json.loads(self.ask(f"/{name}/stats"))["stats"] for name in ("soak", "rounds")]
        store = sum(os.path.getsize(os.path.join(self.store, name)) for name in os.listdir(self.store))
        return {
            "rss_bytes": memory["Rss:"],
            "pss_bytes": memory["Pss:"],
            "descriptors": metrics.sum("process_open_fds") + metrics.sum("webrocket_descriptors"),
            "connections": metrics.sum("webrocket_connections"),
            "sessions": sum(vhost["sessions"] for vhost in vhosts),
            "subscriptions": sum(vhost["subscriptions"] for vhost in vhosts),
            "unused_tokens": sum(vhost["unusedTokens"] for vhost in vhosts),
            "outbox_bytes": metrics.sum("webrocket_outbox_bytes"),
            "store_bytes": store,
            "accepted": metrics.sum("webrocket_connections_accepted_total"),
            "deliveries": metrics.sum("webrocket_deliveries_total"),
            "slow": metrics.sum("webrocket_slow_consumers_total"),
        }


class Metrics:
    """A Prometheus text page."""

    def __init__(self, text):
        self.sums = {}
        for line in text.splitlines():
            found = re.match(r"([a-z_]+)(?:\{.*\})? (\S+)$", line)
            if found:
                name, value = found.groups()
                self.sums[name] = self.sums.get(name, 0) + float(value)

    def sum(self, name):
        """Over all labels."""
        return int(self.sums.get(name, 0))


class Loads:
    """What loadgens have said so far."""

    def __init__(self, program, work, seconds):
        self.program = program
        self.work = work
        # Of a round.
        self.seconds = seconds
        self.patience = [*PATIENT, "10s" if seconds > 5 else "4s"]
        self.finished = {}
        self.failed = []

    def run(self, name, options, seconds):
        output = os.path.join(self.work, "load.log")
        with open(output, "a") as log:
            status = subprocess.run(
                [self.program, *options, *self.patience, "--duration", f"{seconds}s"], stdout=log, stderr=log).returncode
        self.finished[name] = self.finished.get(name, 0) + 1
        if status != 0:
            self.failed.append(f"{name}: exit status {status}")

    def rounds(self, place, until):
        names = list(ROUNDS)
        turn = 0
        # Each takes its warm-up, its drain and its connections beside its duration.
        while time.monotonic() + 3 * self.seconds < until:
            name = names[turn % len(names)]
            turn += 1
            self.run(name, [*place, *ROUNDS[name]], self.seconds)


def slope(times, values):
    """By least squares, a second."""
    mean_time, mean = sum(times) / len(times), sum(values) / len(values)
    spread = sum((time - mean_time) ** 2 for time in times)
    return sum((time - mean_time) * (value - mean) for time, value in zip(times, values)) / spread


def judge(samples, warm_up_s, loaded_until_s):
    """What grew, in words; and the growth of each figure."""
    warm = [it for it in samples if warm_up_s <= it["time_s"] <= loaded_until_s]
    times = [it["time_s"] for it in warm]
    length_s = times[-1] - times[0]
    findings, growth = [], {}
    for name, least in GROWTH_LEAST.items():
        values = [it[name] for it in warm]
        mean = sum(values) / len(values)
        grown = slope(times, values) * length_s
        allowed = max(least, GROWTH_SHARE * mean)
        growth[name] = (mean, grown, allowed)
        if grown > allowed:
            findings.append(f"{name} grew by {grown:.0f} in {length_s:.0f} s, allowed are {allowed:.0f}")
    return findings, growth


def main():
    parser = argparse.ArgumentParser(description="A broker under mixed load: is what it holds flat?")
    parser.add_argument("webrocket")
    parser.add_argument("loadgen")
    parser.add_argument("--duration", type=int, default=3600, help="seconds of load (3600)")
    parser.add_argument("--interval", type=float, default=0, help="seconds between samples (1 to 5)")
    parser.add_argument("--svg", help="where the plot goes")
    parser.add_argument("--csv", help="where the samples go")
    options = parser.parse_args()
    if not os.path.exists(SCENARIO):
        parser.error(f"no scenario at {SCENARIO}")
    duration = options.duration
    interval = options.interval or min(5.0, max(1.0, duration / 120))

    with tempfile.TemporaryDirectory() as work:
        node = Node(options.webrocket, work)
        try:
            places = {name: node.add_vhost(name) for name in ("soak", "rounds")}
            idle = node.look()
            loads = Loads(os.path.realpath(options.loadgen), work, 15 if duration >= 600 else 3)
            began = time.monotonic()
            soak = [*places["soak"], "--scenario", SCENARIO]
            threads = [
                threading.Thread(target=loads.run, args=("soak", soak, duration)),
                threading.Thread(target=loads.rounds, args=(places["rounds"], began + duration)),
            ]
            for thread in threads:
                thread.start()
            samples, unanswered, findings = [], 0, []

            def look():
                nonlocal unanswered
                try:
                    samples.append({"time_s": round(time.monotonic() - began, 1), **node.look()})
                except OSError as error:
                    # A machine that is busy with other things; told at the end.
                    print(f"no sample: {error}", file=sys.stderr)
                    unanswered += 1

            while threads[0].is_alive() or threads[1].is_alive():
                look()
                time.sleep(interval)
                if node.process.poll() is not None:
                    # The loads end by themselves, with nobody to speak to.
                    findings.append("the node went away")
                    break
            for thread in threads:
                thread.join()
            loaded_until = samples[-1]["time_s"]
            deadline = time.monotonic() + RELEASE_S
            while True:
                look()
                left = {name: samples[-1][name] for name in ("connections", "sessions", "subscriptions")}
                left["descriptors"] = max(0, samples[-1]["descriptors"] - idle["descriptors"])
                if not any(left.values()) or time.monotonic() > deadline:
                    break
                time.sleep(0.5)
            grown, growth = judge(samples, duration / 4, min(duration, loaded_until))
            findings += grown + loads.failed
            findings += [f"{count} {name} left after the load" for name, count in left.items() if count]
            if loads.failed:
                with open(os.path.join(work, "load.log")) as log:
                    print(log.read()[-20_000:], file=sys.stderr)
        finally:
            node.process.terminate()
            status = node.process.wait(timeout=60)
        if status != 0:
            findings.append(f"the node ended with exit status {status}")

    if options.csv:
        with open(options.csv, "w", newline="") as file:
            writer = csv.DictWriter(file, samples[0].keys())
            writer.writeheader()
            writer.writerows(samples)
    if options.svg:
        draw(samples, duration, options.svg)
    last = samples[-1]
    rounds = ", ".join(f"{count} x {name}" for name, count in loads.finished.items())
    print(f"{duration} s, {len(samples)} samples, {unanswered} unanswered: {rounds}")
    print(f"{last['accepted']} connections accepted, {last['deliveries']} deliveries, {last['slow']} slow consumers")
    for name, (mean, grown, allowed) in growth.items():
        print(f"{name}: mean {mean:.0f}, grew by {grown:.0f} after the warm-up (at most {allowed:.0f})")
    print(f"after the load: {', '.join(f'{name} {last[name]}' for name in left)} (descriptors before: {idle['descriptors']})")
    for finding in findings:
        print(f"FAILED: {finding}")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
