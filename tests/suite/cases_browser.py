"""A real browser at a live server."""

from __future__ import annotations

from django.contrib.auth.models import Group, User
from django.test import Client, override_settings
from playwright.sync_api import Browser

from tests.chromium import chromium
from ws4redis.publisher import RedisPublisher
from ws4redis.testing import LiveServerTestCase

OPEN = """path => {
    window.socket = new WebSocket(location.origin.replace("http", "ws") + path);
    window.heard = [];
    socket.onmessage = event => heard.push(event.data);
    return new Promise(resolve => { socket.onopen = resolve; socket.onclose = resolve; });
}"""


@override_settings(WEBSOCKET_URLCONF="tests.suite.urls", ALLOWED_HOSTS=["localhost"])
class BrowserTest(LiveServerTestCase):
    browser: Browser

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.browser = cls.enterClassContext(chromium())

    def test_a_page_talks_to_a_view_and_hears_of_a_facility(self) -> None:
        client = Client()
        client.force_login(User.objects.create_user("john"))
        context = self.browser.new_context(base_url=self.live_server_url)
        self.addCleanup(context.close)
        session = client.cookies["sessionid"].value
        context.add_cookies([{"name": "sessionid", "value": session, "url": self.live_server_url}])
        page = context.new_page()
        page.goto("/")
        page.evaluate(OPEN, "/rooms/")
        page.evaluate("socket.send('kitchen')")
        page.wait_for_function("heard.length")
        self.assertEqual(page.evaluate("JSON.parse(heard[0])"), {"by": "john", "count": 1})
        self.assertTrue(Group.objects.filter(name="kitchen").exists())
        page.evaluate(OPEN, "/ws/browser?subscribe-user")
        RedisPublisher(facility="browser", users=["john"]).publish_message("hello")
        page.wait_for_function("heard[0] === 'hello'")
