"""Shows a browser that goes through the kill of its server, in three pictures.

    python stress-tests/recording.py docs/images

Numbers are published all the time. The server is killed, is away for three seconds, and starts
again; at the end the page has every number once.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

HISTORY = {"recording": {"length": 1000}}
os.environ["WS4REDIS_TEST_SETTINGS"] = json.dumps({"WS4REDIS_HISTORY": HISTORY})

from playwright.sync_api import Page, sync_playwright  # noqa: E402

from tests.acceptance.test_chat import CHROMIUM, FLAGS  # noqa: E402
from tests.deployments import free_port  # noqa: E402
from tests.servers import ROOT, RedisServer, end  # noqa: E402
from tests.waiting import wait_for  # noqa: E402

AWAY = 3.0
"""Seconds without a server."""
PAUSE = 0.05
"""Seconds between two messages."""
PAGE = """<!DOCTYPE html><meta charset="utf-8">
<style>
  body { font: 16px sans-serif; margin: 1em; width: 46em }
  #state { display: inline-block; padding: .2em .8em; border-radius: 1em }
  #state { color: white; background: #777 }
  #state.open { background: #287d3c }
  #list { font: 13px monospace; line-height: 1.5; color: #333; overflow-wrap: anywhere }
  #list b { color: #b00 }
</style>
<p><span id="state">connecting</span> <span id="sum"></span></p><p id="list"></p>
<script src="/client.js"></script>
<script>
  const seen = [], list = document.getElementById("list");
  let wrong = 0;
  function show() {
    document.getElementById("sum").textContent =
      `${seen.length} messages, ${wrong} missing, doubled or out of order`;
  }
  WS4Redis({
    uri: URI,
    recover: true,
    minDelay: 50,
    maxDelay: 500,
    statechange: (state) => {
      const badge = document.getElementById("state");
      badge.textContent = state === "open" ? "connected" : "no connection";
      badge.className = state;
    },
    recovered: () => list.append(" [recovered] "),
    gap: () => list.append(" [GAP] "),
    receive_message: (text) => {
      const number = Number(text);
      if (seen.length && number !== seen.at(-1) + 1) wrong += 1;
      seen.push(number);
      list.append(` ${number}`);
      show();
    },
  });
</script>"""


class Publisher(threading.Thread):
    """Publishes numbers until told to stop."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.published = 0
        self.must_stop = threading.Event()

    def run(self) -> None:
        from ws4redis.publisher import RedisPublisher

        publisher = RedisPublisher(facility="recording", broadcast=True)
        for number in count(1):
            if self.must_stop.wait(PAUSE):
                return
            publisher.publish_message(str(number))
            self.published = number


def main(folder: Path) -> None:
    """Record, and write the pictures."""
    with ExitStack() as stack, tempfile.TemporaryDirectory() as directory:
        redis = RedisServer(Path(directory))
        redis.start()
        stack.callback(redis.stop)
        os.environ["REDIS_URL"] = redis.url
        import django

        django.setup()
        page = _page(stack, port := free_port())
        server = _serve(port)
        page.goto(f"http://127.0.0.1:{port}/page")
        page.wait_for_selector("#state.open")
        publisher = Publisher()
        publisher.start()
        wait_for(lambda: publisher.published > 60)
        page.screenshot(path=folder / "recovery-1.png")
        end(server, signal.SIGKILL)
        time.sleep(AWAY)
        page.screenshot(path=folder / "recovery-2.png")
        server = _serve(port)
        stack.callback(end, server)
        page.wait_for_selector("#state.open")
        publisher.must_stop.set()
        publisher.join()
        last = str(publisher.published)
        page.wait_for_function(f"seen.at(-1) === {last}")
        page.screenshot(path=folder / "recovery-3.png")
        print(page.inner_text("#sum"), "- published:", last)


def _page(stack: ExitStack, port: int) -> Page:
    browser = stack.enter_context(sync_playwright()).chromium.launch(
        executable_path=CHROMIUM, args=[*FLAGS, "--disable-features=LocalNetworkAccessChecks"]
    )
    stack.callback(browser.close)
    page = browser.new_page(viewport={"width": 820, "height": 330})
    uri = f"ws://127.0.0.1:{port}/ws/recording?subscribe-broadcast"
    body = PAGE.replace("URI", json.dumps(uri))
    page.route("**/page", lambda route: route.fulfill(body=body, content_type="text/html"))
    script = ROOT / "ws4redis" / "static" / "js" / "ws4redis.js"
    page.route("**/client.js", lambda route: route.fulfill(path=script))
    return page


def _serve(port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "django", "ws4redis", "serve", "--bind", f"127.0.0.1:{port}"]
    server = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)

    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_for(answers)
    return server


if __name__ == "__main__":
    main(Path(sys.argv[1]))
