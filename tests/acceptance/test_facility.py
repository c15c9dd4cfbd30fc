"""What chapters 2.4 to 2.6 of the documentation promise, through every server."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection

from tests.raw import RawClient
from tests.servers import Server
from tests.waiting import PATIENCE, wait_for
from ws4redis.publisher import RedisPublisher

BOTH = "subscribe-broadcast&publish-broadcast"


def receive(websocket: ClientConnection) -> Any:
    return websocket.recv(timeout=PATIENCE)


def publish(facility: str, message: Any, **audience: Any) -> int | None:
    return RedisPublisher(facility=facility, **(audience or {"broadcast": True})).publish_message(
        message
    )


def assert_nothing_arrives(websocket: ClientConnection, facility: str) -> None:
    """What is published now arrives next, so nothing else did before."""
    publish(facility, "marker", broadcast=True)
    assert receive(websocket) == "marker"


def test_every_subscriber_gets_every_message_once_and_in_order(
    server: Server, facility: str, open_websocket: Any
) -> None:
    clients = [open_websocket(server.url(f"{facility}?subscribe-broadcast")) for _ in range(3)]
    sent = [f"message {number}" for number in range(300)]
    for message in sent:
        publish(facility, message)
    for client in clients:
        assert [receive(client) for _ in sent] == sent
    publish(facility, "marker")
    assert [receive(client) for client in clients] == ["marker"] * 3


def test_messages_that_arrive_in_one_read_are_all_delivered_at_once(
    server: Server, facility: str, open_websocket: Any, redis_client: Any
) -> None:
    one = open_websocket(server.url(f"{facility}?subscribe-broadcast"))
    pipeline = redis_client.pipeline(transaction=False)
    for number in range(50):
        pipeline.publish(f"broadcast:{facility}", f"{number}")
        pipeline.publish("broadcast:nobody", "to nobody here")
    pipeline.execute()
    assert [receive(one) for _ in range(50)] == [f"{number}" for number in range(50)]


def test_publishing_tells_whether_anybody_listens(
    server: Server, facility: str, open_websocket: Any
) -> None:
    assert publish(facility, "into the void") == 0
    open_websocket(server.url(f"{facility}?subscribe-broadcast"))
    assert publish(facility, "heard") == 1


def test_the_last_message_is_sent_to_a_newcomer(
    server: Server, facility: str, open_websocket: Any
) -> None:
    publish(facility, "older")
    publish(facility, "newest")
    client = open_websocket(server.url(f"{facility}?subscribe-broadcast"))
    assert receive(client) == "newest"
    assert_nothing_arrives(client, facility)


def test_a_message_that_is_not_persisted_is_not_sent_to_a_newcomer(
    server: Server, facility: str, open_websocket: Any
) -> None:
    RedisPublisher(facility=facility, broadcast=True).publish_message("gone", expire=0)
    assert_nothing_arrives(open_websocket(server.url(f"{facility}?subscribe-broadcast")), facility)


@pytest.mark.parametrize(
    ("flag", "audience"),
    [("subscribe-user", {"users": ["john"]}), ("subscribe-group", {"groups": ["chatters"]})],
)
def test_a_message_reaches_only_whom_it_addresses(
    server: Server, facility: str, open_websocket: Any, cookies: Any, flag: str, audience: Any
) -> None:
    address = server.url(f"{facility}?{flag}&subscribe-broadcast")
    john = open_websocket(address, cookies["john"])
    paul = open_websocket(address, cookies["paul"])
    anonymous = open_websocket(address)
    publish(facility, "for the audience", **audience)
    assert receive(john) == "for the audience"
    assert_nothing_arrives(paul, facility)
    assert receive(anonymous) == "marker"


def test_a_message_to_a_session_reaches_that_session(
    server: Server, facility: str, open_websocket: Any, cookies: Any
) -> None:
    address = server.url(f"{facility}?subscribe-session&subscribe-broadcast")
    john = open_websocket(address, cookies["john"])
    mary = open_websocket(address, cookies["mary"])
    publish(facility, "yours", sessions=[cookies["john"].partition("=")[2]])
    assert receive(john) == "yours"
    assert_nothing_arrives(mary, facility)


def test_an_invented_session_key_opens_no_channel(
    server: Server, facility: str, open_websocket: Any
) -> None:
    key = "a" * 32
    address = server.url(f"{facility}?subscribe-session&subscribe-broadcast")
    client = open_websocket(address, f"sessionid={key}")
    assert "subscribe-session" in client.response.headers["X-WS4Redis-Refused"]
    publish(facility, "secret", sessions=[key])
    assert_nothing_arrives(client, facility)


def test_what_can_not_be_had_is_named_in_a_header_and_in_the_log(
    server: Server, facility: str, open_websocket: Any
) -> None:
    client = open_websocket(server.url(f"{facility}?subscribe-user&subscribe-broadcast"))
    refused = client.response.headers["X-WS4Redis-Refused"]
    assert refused == "subscribe-user (nobody is logged in)"
    wait_for(lambda: f"'subscribe-user' is refused on '/ws/{facility}'" in server.log)


def test_a_client_publishes_to_others_and_gets_no_echo(
    server: Server, facility: str, open_websocket: Any
) -> None:
    sender = open_websocket(server.url(f"{facility}?{BOTH}"))
    other = open_websocket(server.url(f"{facility}?{BOTH}"))
    for message in ("one", "two", "one"):
        sender.send(message)
    assert [receive(other) for _ in range(3)] == ["one", "two", "one"]
    assert_nothing_arrives(sender, facility)


def test_an_equal_message_of_somebody_else_is_not_taken_for_an_echo(
    server: Server, facility: str, open_websocket: Any
) -> None:
    sender = open_websocket(server.url(f"{facility}?{BOTH}"))
    other = open_websocket(server.url(f"{facility}?{BOTH}"))
    sender.send("same")
    assert receive(other) == "same"
    other.send("same")
    assert receive(sender) == "same"
    assert_nothing_arrives(sender, facility)


def test_with_echo_a_client_gets_its_own_messages(
    server: Server, facility: str, open_websocket: Any
) -> None:
    client = open_websocket(server.url(f"{facility}?{BOTH}&echo"))
    client.send("one")
    client.send("two")
    assert [receive(client), receive(client)] == ["one", "two"]


def test_the_message_of_a_client_is_persisted(
    server: Server, facility: str, open_websocket: Any
) -> None:
    client = open_websocket(server.url(f"{facility}?{BOTH}&echo"))
    client.send("position 47.1 11.3")
    receive(client)
    assert RedisPublisher().fetch_message(None, facility, "broadcast") == b"position 47.1 11.3"


def test_text_arrives_as_text_and_everything_else_as_binary(
    server: Server, facility: str, open_websocket: Any
) -> None:
    client = open_websocket(server.url(f"{facility}?subscribe-broadcast"))
    forced = open_websocket(server.url(f"{facility}?subscribe-broadcast&binary"))
    for message in ("grüße", b"\xff\x00", b""):
        publish(facility, message)
    assert [receive(client) for _ in range(3)] == ["grüße", b"\xff\x00", ""]
    assert [receive(forced) for _ in range(3)] == ["grüße".encode(), b"\xff\x00", b""]


def test_structures_arrive_as_json(server: Server, facility: str, open_websocket: Any) -> None:
    client = open_websocket(server.url(f"{facility}?subscribe-broadcast"))
    publish(facility, {"text": "ü", "list": [1, None]})
    assert receive(client) == '{"text":"ü","list":[1,null]}'


def test_a_large_message_arrives_whole_in_both_directions(
    server: Server, facility: str, open_websocket: Any
) -> None:
    client = open_websocket(server.url(f"{facility}?{BOTH}&echo"), max_size=None)
    message = "x" * 900_000
    client.send(message)
    assert receive(client) == message


def test_a_message_beyond_the_limit_closes_with_1009(
    server: Server, facility: str, open_websocket: Any, open_raw: Any
) -> None:
    client = open_raw(server, f"/ws/{facility}?{BOTH}")
    client.send_bytes(b"\x82\xff" + struct.pack("!Q", 2**20 + 1) + bytes(4))
    assert client.receive_close() == 1009


def test_frames_of_one_segment_are_all_handled(
    server: Server, facility: str, open_raw: Any
) -> None:
    client = open_raw(server, f"/ws/{facility}?{BOTH}&echo")
    client.send_bytes(b"".join(client.frame(b"%d" % number) for number in range(20)))
    assert [client.receive_message() for _ in range(20)] == [b"%d" % n for n in range(20)]


def test_a_frame_in_many_segments_is_one_message(
    server: Server, facility: str, open_raw: Any
) -> None:
    client = open_raw(server, f"/ws/{facility}?{BOTH}&echo")
    for byte in client.frame(b"piece by piece"):
        client.send_bytes(bytes([byte]))
    assert client.receive_message() == b"piece by piece"


def test_bytes_sent_together_with_the_handshake_are_not_lost(
    server: Server, facility: str, open_raw: Any
) -> None:
    if server.kind.startswith("uwsgi"):
        pytest.skip("they stay in uWSGI's own parser; RFC 6455 clients wait for the 101")
    client = open_raw(server, f"/ws/{facility}?{BOTH}&echo", early=b"early bird")
    assert client.receive_message() == b"early bird"


def test_fragments_are_one_message_and_a_ping_between_them_is_answered(
    server: Server, facility: str, open_websocket: Any
) -> None:
    client = open_websocket(server.url(f"{facility}?{BOTH}&echo"))
    with_ping = iter(["frag", "ment"])

    def fragments() -> Any:
        yield next(with_ping)
        assert client.ping("between").wait(PATIENCE)
        yield next(with_ping)

    client.send(fragments())
    assert receive(client) == "fragment"


def test_the_code_of_a_close_is_answered(server: Server, facility: str, open_raw: Any) -> None:
    client = open_raw(server, f"/ws/{facility}?subscribe-broadcast")
    client.send_bytes(client.frame(struct.pack("!H", 3456) + b"bye", opcode=8))
    assert client.receive_close() == 3456


def test_far_more_websockets_than_cores_are_served(
    server: Server, facility: str, open_websocket: Any
) -> None:
    clients = [open_websocket(server.url(f"{facility}?subscribe-broadcast")) for _ in range(60)]
    publish(facility, "to all")
    assert [receive(client) for client in clients] == ["to all"] * 60


def test_200_websockets_all_get_50_messages_in_order(
    server: Server, facility: str, open_raw: Any
) -> None:
    path = f"/ws/{facility}?subscribe-broadcast"
    clients = [open_raw(server, path) for _ in range(200)]
    messages = [f"{number}" for number in range(50)]
    for message in messages:
        publish(facility, message)
    for client in clients:
        assert [client.receive_message().decode() for _ in messages] == messages


def test_the_links_to_redis_do_not_grow_with_the_websockets(
    server: Server, facility: str, open_websocket: Any, redis_client: Any
) -> None:
    def links() -> int:
        return sum(client["name"] == "ws4redis" for client in redis_client.client_list())

    open_websocket(server.url(f"{facility}?subscribe-broadcast"))
    before = links()
    for number in range(40):
        open_websocket(server.url(f"{facility}{number}?{BOTH}"))
    # A process opens its link for its first websocket; one has done so.
    assert links() - before < len(server.tree())


def test_a_client_that_vanishes_harms_nobody(
    server: Server, facility: str, open_websocket: Any, open_raw: Any
) -> None:
    stays = open_websocket(server.url(f"{facility}?subscribe-broadcast"))
    for _ in range(5):
        open_raw(server, f"/ws/{facility}?{BOTH}").reset()
    for number in range(50):
        publish(facility, f"{number}")
    assert [receive(stays) for _ in range(50)] == [f"{number}" for number in range(50)]


def test_a_client_that_does_not_read_is_given_up_and_nobody_waits_for_it(
    server: Server, facility: str, open_websocket: Any, open_raw: Any
) -> None:
    lazy = open_raw(server, f"/ws/{facility}?subscribe-broadcast", receive_buffer=4096)
    quick = open_websocket(server.url(f"{facility}?subscribe-broadcast"), max_size=None)
    message = "x" * 500_000
    for _ in range(40):
        publish(facility, message)
        assert receive(quick) == message
    assert "too slow" in server.log
    assert lazy.is_ended()


@pytest.mark.parametrize(
    ("lines", "status", "text"),
    [
        ({"Upgrade": None}, 400, "Client does not wish to upgrade to a websocket"),
        ({"Connection": "keep-alive"}, 400, "Connection"),
        ({"Sec-WebSocket-Key": "short"}, 400, "Sec-WebSocket-Key"),
        ({"Sec-WebSocket-Key": None}, 400, "Sec-WebSocket-Key"),
        ({"Sec-WebSocket-Version": "8"}, 426, "13"),
        ({"Sec-WebSocket-Version": None}, 426, "13"),
        ({"Origin": "http://evil.example"}, 403, "origin"),
        ({"Origin": "null"}, 403, "origin"),
    ],
)
def test_a_bad_handshake_is_refused_with_an_http_answer(
    server: Server, facility: str, lines: dict[str, str | None], status: int, text: str
) -> None:
    if server.is_proxied and not {"Upgrade", "Connection"}.isdisjoint(lines):
        pytest.skip("the web server in front sends these headers as it likes")
    answer = RawClient.ask(server, f"/ws/{facility}?subscribe-broadcast", lines)
    assert answer.startswith(f"HTTP/1.1 {status} ")
    assert text in answer.partition("\r\n\r\n")[2]
    assert "\r\nX-WS4Redis-Refused: handshake\r\n" in answer
    if status == 426:
        assert "\r\nSec-WebSocket-Version: 13\r\n" in answer


def test_another_method_or_address_is_refused(server: Server, facility: str) -> None:
    assert " 405 " in RawClient.ask(server, f"/ws/{facility}", {}, method="PUT")
    assert " 404 " in RawClient.ask(server, "/ws/", {})


def test_the_old_http_is_refused(server: Server, facility: str) -> None:
    if server.is_proxied:
        pytest.skip("the web server in front speaks HTTP/1.1 to the loop")
    assert " 400 " in RawClient.ask(server, f"/ws/{facility}", {}, protocol="HTTP/1.0")


def test_pages_of_the_site_may_open_websockets(
    server: Server, facility: str, open_websocket: Any
) -> None:
    open_websocket(server.url(facility), headers={"Origin": server.page})
    with pytest.raises(InvalidStatus):
        open_websocket(server.url(facility), headers={"Origin": "http://127.0.0.1:1"})


def test_an_ordinary_page_is_served_beside_the_websockets(server: Server) -> None:
    if server.kind in ("serve", "serve-workers", "uwsgi"):
        pytest.skip("this server holds websockets only")
    answer = RawClient.ask(server, "/", {"Upgrade": None, "Connection": "close"})
    assert answer.startswith("HTTP/1.1 200 ")
    assert "an ordinary page" in answer
    if server.kind in ("runserver", "stock-runserver"):
        assert "Starting development server at" in server.log


def test_a_static_file_is_served_beside_the_websockets(server: Server) -> None:
    if not server.is_proxied:
        pytest.skip("this server has no static files")
    answer = RawClient.ask(server, "/static/hello.txt", {"Upgrade": None, "Connection": "close"})
    assert answer.endswith("\r\n\r\na static file\n")


def test_nothing_went_wrong_unnoticed(server: Server, facility: str) -> None:
    assert "Traceback" not in server.log


def test_half_a_handshake_keeps_nobody_waiting(
    server: Server, facility: str, open_websocket: Any
) -> None:
    with server.connect() as half:
        half.sendall(b"GET /ws/half HTTP/1.1\r\nHost: x\r\nUpgr")
        client = open_websocket(server.url(f"{facility}?subscribe-broadcast"))
        publish(facility, "on time")
        assert receive(client) == "on time"
