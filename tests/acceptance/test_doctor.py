"""``manage.py ws4redis check`` names what is wrong with a real proxy, Redis and site."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tests.deployments import ROOT, Site, free_port, is_listening, nginx
from tests.servers import RedisServer, Server, end, serving
from tests.waiting import PATIENCE, wait_for

GOOD = """
    proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection "upgrade";
    proxy_set_header Host $http_host;
    proxy_pass http://{loop};
"""


@dataclass
class Outcome:
    """What the command said."""

    status: int
    text: str

    def findings(self) -> dict[str, dict[str, str]]:
        """Return the findings of ``--json`` by their names; of several the worst."""
        document = json.loads(self.text)
        assert set(document) == {"ok", "findings"}
        assert document["ok"] == (self.status == 0)
        order = ["ok", "note", "warning", "problem"]
        worst_last = sorted(document["findings"], key=lambda one: order.index(one["level"]))
        return {finding["name"]: finding for finding in worst_last}


def check(redis_url: str, *arguments: str, **settings: Any) -> Outcome:
    """Run the command as an administrator does."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "REDIS_URL": redis_url,
        "WS4REDIS_TEST_SETTINGS": json.dumps({"WS4REDIS_PING_INTERVAL": 1, **settings}),
    }
    done = subprocess.run(
        [sys.executable, "-m", "django", "ws4redis", "check", *arguments],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Outcome(done.returncode, done.stdout)


@contextmanager
def proxied(run: Path, location: str, listen: str = "") -> Iterator[str]:
    """Run nginx with the given content of its location ``/``; yield the address."""
    port = free_port()
    configuration = run / "site.conf"
    configuration.write_text(
        f"server {{ listen 127.0.0.1:{port} {listen}; location / {{ {location} }} }}"
    )
    process = subprocess.Popen(nginx(run, configuration))
    try:
        wait_for(lambda: is_listening(port))
        yield f"127.0.0.1:{port}"
    finally:
        end(process)


@pytest.fixture(scope="module")
def loop(directory: Path, redis_server: RedisServer, users: Any) -> Iterator[Server]:
    with serving("serve", directory, redis_server.url, WS4REDIS_PING_INTERVAL=1) as server:
        yield server


@pytest.fixture(scope="module")
def django(directory: Path, redis_server: RedisServer, users: Any) -> Iterator[str]:
    """A Django without any loop, which refuses strange hosts."""
    port = free_port()
    settings = {
        "ALLOWED_HOSTS": ["127.0.0.1"],
        "MIDDLEWARE": ["django.middleware.common.CommonMiddleware"],
    }
    process = subprocess.Popen(
        [
            *[sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}"],
            *["--chdir", str(ROOT / "tests" / "site"), "--log-level", "critical", "wsgi_django"],
        ],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "WS4REDIS_TEST_SETTINGS": json.dumps(settings),
        },
    )
    try:
        # gunicorn listens before its worker has loaded Django.
        wait_for(lambda: answers(port))
        yield f"127.0.0.1:{port}"
    finally:
        end(process)


def answers(port: int) -> bool:
    try:
        with closing(HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
            connection.request("GET", "/")
            return connection.getresponse().status == 200
    except OSError:
        return False


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A directory with a short name and a certificate."""
    with Site("nginx-tls", tmp_path) as made:
        yield made


def without(line: str) -> str:
    """Return the good location without one of its lines."""
    kept = [one for one in GOOD.splitlines() if line not in one]
    assert len(kept) < len(GOOD.splitlines())
    return "\n".join(kept)


def test_a_good_site_is_healthy(redis_server: RedisServer, loop: Server, site: Site) -> None:
    with proxied(site.run, GOOD.format(loop=loop.host)) as address:
        outcome = check(redis_server.url, f"http://{address}", "--json")
    findings = outcome.findings()
    assert outcome.status == 0
    good = {name for name, finding in findings.items() if finding["level"] == "ok"}
    assert good == {
        *{"redis", "permissions", "pubsub", "eviction"},
        *{"handshake", "session", "delivery", "persistence", "quiet"},
    }


def test_its_lines_are_for_people(redis_server: RedisServer, loop: Server) -> None:
    outcome = check(redis_server.url, f"ws://{loop.host}/ws/foo", "--quick")
    assert outcome.status == 0
    assert f"ok       handshake    A websocket opens at ws://{loop.host}/ws/foo.\n" in outcome.text
    assert "-> Set WS4REDIS_ALLOWED_CHANNELS to a function" in outcome.text


FAULTS: dict[str, tuple[str, str, str, str]] = {
    "HTTP/1.0": (
        without("proxy_http_version"),
        "handshake",
        "The proxy speaks HTTP/1.0 to the loop.",
        "proxy_http_version 1.1;",
    ),
    "no Upgrade": (
        without("header Upgrade"),
        "handshake",
        "The proxy does not pass the Upgrade header on.",
        "proxy_set_header Upgrade $http_upgrade",
    ),
    "no Connection": (
        without("header Connection"),
        "handshake",
        "The proxy does not pass the Connection header on.",
        'proxy_set_header Connection "upgrade"',
    ),
    "no Host": (
        without("header Host"),
        "handshake",
        "The loop does not take pages of http://127.0.0.1:",
        "proxy_set_header Host $http_host",
    ),
    "path stripped": (
        GOOD.replace("http://{loop}", "http://{loop}/other/"),
        "handshake",
        "The loop gets another path than /ws/",
        "no path behind proxy_pass",
    ),
    "no cookie": (
        GOOD + 'proxy_set_header Cookie "";',
        "session",
        "The session cookie does not arrive",
        "Let the proxy pass the Cookie header on",
    ),
    "short timeout": (
        GOOD + "proxy_read_timeout 700ms;",
        "quiet",
        "A proxy cuts quiet websockets after ",
        "proxy_read_timeout 60s",
    ),
    "nothing behind": (
        GOOD.replace("{loop}", "127.0.0.1:1"),
        "handshake",
        "does not reach the loop (502).",
        "Start the loop",
    ),
    "proxy says 503": (
        "return 503;",
        "handshake",
        "does not reach the loop (503).",
        "Start the loop",
    ),
    "django": (
        "proxy_set_header Host $http_host; proxy_pass http://{django};",
        "handshake",
        "reaches Django or files, not the loop (404).",
        "Send this path to the websocket loop",
    ),
    "django with another host": (
        "proxy_set_header Host strange.example; proxy_pass http://{django};",
        "handshake",
        "refuses the request itself (400).",
        "ALLOWED_HOSTS",
    ),
    "a page": (
        "return 200 'hello';",
        "handshake",
        "reaches Django or files, not the loop (200).",
        "Send this path to the websocket loop",
    ),
    "redirect to https": (
        "return 301 https://$http_host$request_uri;",
        "handshake",
        "redirects to 'https://127.0.0.1:",
        "open wss://",
    ),
    "redirect to a login": (
        "return 302 /login;",
        "handshake",
        "redirects to 'http://127.0.0.1:",
        "does not reach the loop",
    ),
    "forbidden": ("deny all;", "handshake", "forbids it (403).", "Let the web server allow"),
    "no answer": ("return 444;", "connection", "ends it without an answer.", "does not run"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_proxy_is_named(
    fault: str, redis_server: RedisServer, loop: Server, django: str, site: Site
) -> None:
    location, name, message, hint = FAULTS[fault]
    location = location.replace("{loop}", loop.host).replace("{django}", django)
    with proxied(site.run, location) as address:
        outcome = check(redis_server.url, f"http://{address}", "--json")
    assert outcome.status == 1
    finding = outcome.findings()[name]
    assert finding["level"] == "problem"
    assert message in finding["message"]
    assert hint in finding["hint"]


def test_a_slow_server_is_named(redis_server: RedisServer, users: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        outcome = check(redis_server.url, f"http://{address}", "--json", "--timeout", "0.3")
    assert outcome.findings()["connection"]["message"] == (
        f"{address} does not answer within 0.3 s."
    )


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://127.0.0.1:1", "Nothing listens at 127.0.0.1:1."),
        ("https://no-such-host.invalid", "The name of no-such-host.invalid:443 is unknown."),
    ],
)
def test_no_connection_is_named(
    redis_server: RedisServer, users: Any, url: str, message: str
) -> None:
    outcome = check(redis_server.url, url, "--json")
    assert outcome.status == 1
    assert outcome.findings()["connection"]["message"] == message


def test_a_bad_certificate_is_named_and_may_be_accepted(
    redis_server: RedisServer, loop: Server, site: Site
) -> None:
    site.make_certificate()
    tls = f"ssl; ssl_certificate {site.certificate}; ssl_certificate_key {site.run}/mysite.key"
    with proxied(site.run, GOOD.format(loop=loop.host), tls) as address:
        refused = check(redis_server.url, f"https://{address}", "--json")
        accepted = check(redis_server.url, f"https://{address}", "--json", "--insecure")
        plain = check(redis_server.url, f"http://{address}", "--json")
    finding = refused.findings()["connection"]
    assert "self-signed certificate" in finding["message"]
    assert "--insecure" in finding["hint"]
    assert accepted.status == 0
    assert "expects TLS there" in plain.findings()["handshake"]["message"]
    no_tls = check(redis_server.url, f"https://{loop.host}", "--json")
    assert "does not speak TLS" in no_tls.findings()["connection"]["message"]


def with_database(redis_server: RedisServer) -> str:
    return redis_server.url.replace("db=0", "db=3")


@pytest.mark.parametrize("other", [with_database, None])
def test_a_loop_on_another_channel_is_named(
    other: Callable[[RedisServer], str] | None, redis_server: RedisServer, loop: Server
) -> None:
    """Databases share their channels, prefixes don't."""
    if other is not None:
        outcome = check(other(redis_server), f"http://{loop.host}", "--json", "--quick")
        assert outcome.findings()["delivery"]["level"] == "ok"
        assert outcome.findings()["persistence"]["level"] == "problem"
        assert "database (db)" in outcome.findings()["persistence"]["hint"]
        return
    outcome = check(redis_server.url, f"http://{loop.host}", "--json", WS4REDIS_PREFIX="other")
    # One fault is one problem: what comes after it is looked at as well.
    assert outcome.findings()["quiet"]["level"] == "ok"
    assert "connection" not in outcome.findings()
    finding = outcome.findings()["delivery"]
    assert finding["level"] == "problem"
    assert "no loop listens to this Redis for it" in finding["message"]
    assert "WS4REDIS_PREFIX" in finding["hint"]


def test_a_loop_on_another_redis_is_named(loop: Server, own_redis: RedisServer, users: Any) -> None:
    finding = check(own_redis.url, f"http://{loop.host}", "--json", "--quick").findings()
    assert "no loop listens to this Redis" in finding["delivery"]["message"]


def test_a_loop_without_redis_is_named(
    tmp_path: Path, redis_server: RedisServer, own_redis: RedisServer, users: Any
) -> None:
    with serving("serve", tmp_path, own_redis.url) as server:
        own_redis.stop()
        wait_for(lambda: "Redis can't be used" in server.log)
        finding = check(redis_server.url, f"http://{server.host}", "--json").findings()
    assert "can't open websockets at present" in finding["handshake"]["message"]


def test_a_policy_is_no_problem_and_a_user_may_pass_it(
    tmp_path: Path, redis_server: RedisServer, users: Any
) -> None:
    policy = {"WS4REDIS_ALLOWED_CHANNELS": "tests.policies.only_members"}
    with serving("serve", tmp_path, redis_server.url, **policy) as server:
        address = f"http://{server.host}"
        stranger = check(redis_server.url, address, "--json", "--quick", **policy)
        member = check(redis_server.url, address, "--json", "--quick", "--user", "john", **policy)
        unknown = check(redis_server.url, address, "--quick", "--user", "nobody", **policy)
    assert stranger.status == 0
    assert stranger.findings()["handshake"]["level"] == "note"
    assert "--user" in stranger.findings()["handshake"]["hint"]
    assert member.findings()["delivery"]["level"] == "ok"
    assert unknown.status == 1


def test_no_session_is_left_behind(redis_server: RedisServer, loop: Server) -> None:
    from django.contrib.sessions.models import Session

    before = set(Session.objects.values_list("pk", flat=True))
    assert check(redis_server.url, f"http://{loop.host}", "--quick").status == 0
    assert set(Session.objects.values_list("pk", flat=True)) == before


def test_a_session_store_that_fails_is_named(redis_server: RedisServer, loop: Server) -> None:
    broken = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    outcome = check(
        redis_server.url, f"http://{loop.host}", "--json", "--quick", DATABASES={"default": broken}
    )
    assert outcome.status == 1
    findings = outcome.findings()
    assert "session store fails: no such table" in findings["session"]["message"]
    assert findings["delivery"]["level"] == "ok"


def test_a_cookie_can_be_given(
    redis_server: RedisServer, loop: Server, cookies: dict[str, str]
) -> None:
    outcome = check(
        redis_server.url, f"http://{loop.host}", "--json", "--quick", "--cookie", cookies["john"]
    )
    assert outcome.status == 0
    assert "session" not in outcome.findings()


def test_an_absent_redis_is_named_without_its_password(users: Any) -> None:
    outcome = check("redis://:geheim@127.0.0.1:1/0")
    assert outcome.status == 1
    assert "Redis at 127.0.0.1:1, db 0 can't be used" in outcome.text
    assert "geheim" not in outcome.text


@pytest.mark.parametrize(
    ("rules", "name", "message"),
    [
        (["+@all", "-publish", "~*", "&*"], "permissions", "Redis refuses EVAL"),
        (["+@all", "-set", "~*", "&*"], "permissions", "Redis refuses SET"),
        (["+@all", "-subscribe", "~*", "&*"], "pubsub", "does not let us subscribe"),
        (["+@all", "~*", "&other:*"], "pubsub", "does not let us subscribe"),
    ],
)
def test_a_user_of_redis_with_too_few_rights_is_named(
    own_redis: RedisServer, users: Any, rules: list[str], name: str, message: str
) -> None:
    with own_redis.client() as client:
        client.execute_command("ACL", "SETUSER", "weak", "on", ">secret", "resetchannels", *rules)
    url = own_redis.url.replace("unix://", "unix://weak:secret@")
    outcome = check(url, "--json")
    assert outcome.status == 1
    assert message in outcome.findings()[name]["message"]
    wrong = check(own_redis.url.replace("unix://", "unix://weak:wrong@"), "--json")
    assert "refuses the login" in wrong.findings()["redis"]["message"]


PLAIN = "+@connection +ping +get +mget +set +publish +subscribe +unsubscribe +eval +info"
KEEPING = "+evalsha +hmget +hset +del +xadd +xrange +xrevrange +xlen +expire +persist +time"


@pytest.mark.parametrize("missing", [None, *KEEPING.split()])
def test_a_user_of_redis_who_can_not_keep_a_history_is_named(
    own_redis: RedisServer, users: Any, missing: str | None
) -> None:
    rights = [*PLAIN.split(), *(right for right in KEEPING.split() if right != missing)]
    with own_redis.client() as client:
        start = ["weak", "on", ">secret", "~*", "&*", "-@all"]
        client.execute_command("ACL", "SETUSER", *start, *rights)
        url = own_redis.url.replace("unix://", "unix://weak:secret@")
        findings = check(url, "--json", WS4REDIS_HISTORY={"chat": {}}).findings()
        assert all(client.ttl(key) > 0 for key in client.scan_iter())
    assert findings["permissions"]["level"] == ("problem" if missing else "ok")
    if missing:
        assert missing in findings["permissions"]["hint"]
        assert "docs/topics/history.md" in findings["permissions"]["hint"]


def test_a_redis_that_hides_itself_is_only_noted(own_redis: RedisServer, users: Any) -> None:
    with own_redis.client() as client:
        rules = ["on", ">secret", "~*", "&*", "+@all", "-info"]
        client.execute_command("ACL", "SETUSER", "blind", *rules)
    outcome = check(own_redis.url.replace("unix://", "unix://blind:secret@"), "--json")
    assert outcome.status == 0
    assert outcome.findings()["eviction"]["level"] == "note"


def test_eviction_is_named(own_redis: RedisServer, users: Any) -> None:
    with own_redis.client() as client:
        client.config_set("maxmemory", "100mb")
        client.config_set("maxmemory-policy", "allkeys-lru")
    finding = check(own_redis.url, "--json").findings()["eviction"]
    assert finding["level"] == "warning"
    assert "drops persisted messages (allkeys-lru)" in finding["message"]


def test_wrong_settings_are_named_before_anything_else(
    redis_server: RedisServer, users: Any
) -> None:
    outcome = check(redis_server.url, "http://127.0.0.1:1", "--json", WS4REDIS_EXPIRE="soon")
    assert outcome.status == 1
    findings = outcome.findings()
    assert "WS4REDIS_EXPIRE" in findings["settings"]["message"]
    assert set(findings) == {"settings"}


def test_a_busy_facility_is_noted(redis_server: RedisServer, loop: Server) -> None:
    done = threading.Event()

    def publish() -> None:
        with redis_server.client() as client:
            while not done.wait(0.1):
                client.publish("broadcast:busy", "traffic")

    traffic = threading.Thread(target=publish)
    traffic.start()
    try:
        outcome = check(redis_server.url, f"http://{loop.host}/ws/busy", "--json")
    finally:
        done.set()
        traffic.join()
    assert outcome.status == 0
    assert "too much traffic" in outcome.findings()["quiet"]["message"]


def test_a_loop_that_stops_meanwhile_is_no_fault_of_a_proxy(
    tmp_path: Path, redis_server: RedisServer, users: Any
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "REDIS_URL": redis_server.url}
    with serving("serve", tmp_path, redis_server.url) as server:
        command = [sys.executable, "-m", "django", "ws4redis", "check", f"http://{server.host}"]
        process = subprocess.Popen(
            command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        with process:
            assert process.stdout is not None
            for line in process.stdout:
                if b"persistence" in line:
                    end(server.process)
                    break
            rest = process.stdout.read().decode()
    assert process.returncode == 1
    assert "The loop closed the websocket with 1001." in rest


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "'nonsense' is no address"),
        (["--user", "john"], "--user, --cookie and --facility need the address of the site."),
        (["http://127.0.0.1:1", "--user", "nobody"], "There is no user 'nobody'."),
    ],
)
def test_arguments_that_can_not_be_met_are_named_in_json_too(
    redis_server: RedisServer, users: Any, arguments: list[str], message: str
) -> None:
    outcome = check(redis_server.url, *arguments, "--json")
    assert outcome.status == 1
    assert message in outcome.findings()["arguments"]["message"]


@pytest.mark.parametrize("timeout", ["0", "-5", "nan", "inf", "1e99", "soon"])
def test_a_timeout_is_a_number_of_seconds(
    redis_server: RedisServer, users: Any, timeout: str
) -> None:
    outcome = check(redis_server.url, "--timeout", timeout)
    assert outcome.status != 0
    assert outcome.text == ""


@pytest.mark.parametrize("facility", ["a?b", "ä", "a b"])
def test_a_facility_may_have_any_name(
    redis_server: RedisServer, loop: Server, facility: str
) -> None:
    outcome = check(redis_server.url, f"http://{loop.host}", "--quick", "--facility", facility)
    assert outcome.status == 0


def test_a_cookie_that_does_not_arrive_is_named_for_a_user_too(
    redis_server: RedisServer, loop: Server, site: Site
) -> None:
    location = GOOD.format(loop=loop.host) + 'proxy_set_header Cookie "";'
    with proxied(site.run, location) as address:
        arguments = (f"http://{address}", "--json", "--quick", "--user", "john")
        outcome = check(redis_server.url, *arguments)
    assert "subscribe-user: nobody is logged in" in outcome.findings()["session"]["message"]
    good = check(redis_server.url, f"http://{loop.host}", "--json", "--quick", "--user", "john")
    assert good.findings()["session"]["level"] == "ok"
