"""A rate limiter that we did not write: nginx before the service, and the service that only watches."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path

import attrs

from benchmarks.report import print_table
from benchmarks.rivals.parties import PARTIES, Job
from benchmarks.rivals.party import run
from benchmarks.rivals.stub import Setting, serving

PROMPTS = 1500  # more than the limits let through
FIRST, WHOLE = 60.0, 80.0  # seconds
LEAST_USED = 0.7
MOST_THROUGH = 1.2  # of the limit; connections are held for a little less or more than the service takes
PARTIES_HERE = ("ours", "ours-told", "hand-written")
HEAD = ("", "", f"limit in use, first {FIRST:g} s", f"goodput, {FIRST:g} to {WHOLE:g} s", "429s", "images made")
CONFIGURATION = """
daemon off; master_process off; pid nginx.pid; error_log error.log;
events {{ worker_connections 4096; }}
http {{
    log_format seen '$msec $request_time $status';
    access_log seen.log seen;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    {zone};
    limit_req_status 429;
    limit_conn_status 429;
    upstream service {{ server {upstream}; keepalive 64; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            {rule};
            proxy_pass http://service;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
}}
"""


@attrs.frozen
class Rule:
    """What nginx is told. Everybody shares one key, which must not be empty: nginx does not count what has none.

    Attributes:
        zone: Its line that counts.
        rule: Its line that limits.
        rate: Requests a second that this comes to.
        burst: Requests beyond that, once.
        answers_after: Seconds that the service takes to answer, which is what makes connections scarce.
    """

    zone: str
    rule: str
    rate: float
    burst: int = 0
    answers_after: float = 0.0


RULES = (
    Rule("limit_req_zone $server_port zone=all:1m rate=10r/s", "limit_req zone=all", 10.0),
    Rule("limit_req_zone $server_port zone=all:1m rate=10r/s", "limit_req zone=all burst=20 nodelay", 10.0, 20),
    Rule("limit_conn_zone $server_port zone=all:1m", "limit_conn all 4", 10.0, answers_after=0.4),
)


@attrs.frozen
class Passed:
    """How a party fared.

    Attributes:
        used: Share of the limit in use in the first minute.
        goodput: Share of the limit in use from then on.
        limited: Share of all requests that were refused.
        made: Images.
    """

    used: float
    goodput: float
    limited: float
    made: int


def binary() -> str | None:
    """Where nginx is."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextlib.contextmanager
def _in_front(nginx: str, rule: Rule, upstream: str, folder: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    configuration = CONFIGURATION.format(zone=rule.zone, rule=rule.rule, upstream=upstream, port=port)
    (folder / "nginx.conf").write_text(configuration, encoding="ascii")
    command = [nginx, "-p", f"{folder}/", "-c", "nginx.conf", "-e", "error.log"]
    with subprocess.Popen(command) as process:
        try:
            while process.poll() is None and not (folder / "nginx.pid").exists():
                time.sleep(0.05)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()


def measure(nginx: str, rule: Rule, party: str) -> Passed:
    """Let a party work behind nginx for a while."""
    with tempfile.TemporaryDirectory() as name, serving(Setting(answers_after=rule.answers_after)) as stub:
        folder = Path(name)
        with _in_front(nginx, rule, stub.address, folder) as address:
            work = run(Job(party, address, PROMPTS, WHOLE, rule.rate))
        lines = (folder / "seen.log").read_text(encoding="ascii").splitlines()
    return _figures(rule, [(float(at) - float(took), status) for at, took, status in map(str.split, lines)], work.made)


def _figures(rule: Rule, seen: list[tuple[float, str]], made: int) -> Passed:
    began = min(at for at, _ in seen)
    passed = [at - began for at, status in seen if status == "200"]
    early = sum(at < FIRST for at in passed)
    late = sum(FIRST <= at < WHOLE for at in passed)
    assert len(passed) <= (rule.rate * WHOLE + rule.burst) * MOST_THROUGH, "nginx did not limit"
    return Passed(
        early / (rule.rate * FIRST + rule.burst),
        late / (rule.rate * (WHOLE - FIRST)),
        sum(status == "429" for _, status in seen) / len(seen),
        made,
    )


def compare(lanes: Executor) -> None:
    """Print the table, if nginx is here."""
    nginx = binary()
    if nginx is None:
        print("\nnginx is not here, so its table is left out; on Debian, `apt-get install nginx` brings it.")
        return
    waiting = [(rule, party, lanes.submit(measure, nginx, rule, party)) for rule in RULES for party in PARTIES_HERE]
    rows = []
    for rule, party, future in waiting:
        got = future.result()
        met = "" if got.used >= LEAST_USED or not party.startswith("ours") else ", missed"
        waits = f", answers after {rule.answers_after:g} s" if rule.answers_after else ""
        rows.append(
            (
                f"`{rule.rule}`, {rule.rate:g}/s{waits}",
                PARTIES[party].title,
                f"{got.used:.2f}{met}",
                got.goodput,
                f"{got.limited:.1%}",
                got.made,
            )
        )
    print_table(f"nginx limits, at least {LEAST_USED} in use", HEAD, rows)
