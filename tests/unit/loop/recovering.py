"""Browsers that follow channels with a history, and complain of all that is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import gevent

from tests.unit.loop.far_end import FarEnd
from tests.unit.loop.history_model import HistoryLink, Message, Server, between
from ws4redis.history import Position
from ws4redis.loop.facility import Membership

Told = dict[str, Any]
NEVER = 1 << 30


class Record:
    """What one browser has got of one channel with a history, over all its websockets."""

    def __init__(self, server: Server, channel: bytes, is_own: Callable[[bytes], bool]) -> None:
        self._server = server
        self._channel = channel
        self._is_own = is_own
        """Whether it need not get a message, as it sent it itself."""
        self.position = Position("*0x0", 0)
        self.last: Message | None = None

    def begin(self, told: Told, since: Position | None) -> None:
        """Note how a subscription begins."""
        position = self._parse(told["position"])
        assert ("recovered" in told) is (since is not None), (told, since)
        if since is not None and told["recovered"]:
            assert position == since, f"It begins at {position}, and not at {since}."
        elif since is not None:
            self._see_reason(since, position)
        self.position, self.last = position, self._server.at(self._channel, position)

    def follow(self, position: str, payload: bytes) -> None:
        """Note a message."""
        self.position = self._parse(position)
        message = self._server.at(self._channel, self.position)
        assert message is not None
        assert message.payload == payload, f"{message} has the position of another one."
        come = between(self.last, message)
        assert come, f"{message} follows {self.last}."
        missing = [one for one in come[:-1] if not self._is_own(one.payload)]
        assert not missing, f"{missing} were lost in silence."
        self.last = message

    def skip(self, position: str) -> None:
        """Note that messages are said to be missing."""
        going_on = self._parse(position)
        self._see_reason(self.position, going_on)
        self.position, self.last = going_on, self._server.at(self._channel, going_on)

    def see_all(self) -> None:
        """See that nothing more is to come."""
        channel = self._server.data.channel(self._channel)
        is_beginning = not channel.epoch and self.last is None
        missing = [] if is_beginning else between(self.last, channel.head)
        assert missing is not None, f"{channel.head} is elsewhere than {self.last}."
        missing = [one for one in missing if not self._is_own(one.payload)]
        assert not missing, f"{missing} did not come."

    def _see_reason(self, since: Position, position: Position) -> None:
        """See that between two positions something is gone, or that it can't be known."""
        is_ahead = any(
            one.channel == self._channel and self._is_own(one.payload)
            for one in self._server.kept.values()
        )
        # The process may be ahead, by a message that this browser sent and did not get back.
        if is_ahead or self._server.has_forgotten(self._channel, since):
            return
        try:
            missing = between(*(self._server.at(self._channel, one) for one in (since, position)))
        except KeyError:
            # There never was such a position.
            return
        is_good = missing is None or any(one.is_gone for one in missing)
        assert is_good, f"All of {missing} could be had, from {since} to {position}."

    def _parse(self, text: str) -> Position:
        position = Position.parse(text)
        assert position is not None, text
        return position


class Browser(FarEnd):
    """The far end of one websocket.

    Args:
        server: Knows the truth.
        link: Of the process that it came to.
        membership: What it asks for.
        kept: The channels with a history.
    """

    def __init__(
        self, server: Server, link: HistoryLink, membership: Membership, kept: set[bytes]
    ) -> None:
        super().__init__()
        self.server = server
        self.link = link
        self.membership = membership
        self.kept = kept
        self.opening: gevent.Greenlet | None = None
        self.cuts = link.cuts
        self.sent: dict[bytes, int] = {}
        """How often the link had been lost when it sent each message."""
        self.own: set[bytes] = set()
        """Messages that it need not get, as it or the one that it was before sent them."""
        self.plain: dict[bytes, list[int]] = {}
        """Numbers of the messages without a position, by channel."""
        self.sure: dict[bytes, int] = {}
        """Number from which on no message without a history may be missing, by channel."""

    def is_own(self, payload: bytes) -> bool:
        return payload in self.own

    def note_sent(self, payload: bytes) -> None:
        self.sent[payload] = self.link.cuts
        if not self.membership.echo:
            self.own.add(payload)

    def note_opened(self) -> None:
        """Note what has to come from here on."""

    def note_cut(self) -> None:
        """Note that the link broke: what has no history may be missing."""
        self.sure.clear()

    def see_all(self) -> None:
        """See that nothing more is to come."""
        for channel, numbers in self.plain.items():
            since = self.sure.get(channel, NEVER)
            due = [
                number
                for payload, (number, name) in self.server.plain.items()
                if name == channel and number >= since and not self.is_own(payload)
            ]
            missing = set(due) - set(numbers)
            assert not missing, f"{missing} of {channel!r} did not come."
            self.sure[channel] = len(self.server.plain)

    def _note_plain(self, channel: bytes, payload: bytes) -> None:
        number, name = self.server.plain[payload]
        assert name == channel
        numbers = self.plain.setdefault(channel, [])
        assert not numbers or number > numbers[-1], "Out of order, or twice."
        numbers.append(number)


class RawBrowser(Browser):
    """One that gets payloads, and knows nothing of positions."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        channels = self.membership.subscriptions
        self._asked = {one: self.server.data.channel(one).head for one in channels}
        self._asked_of = self.server.id
        self._data_id = 0
        self._opened: dict[bytes, Message | None] = {}
        self._received: dict[bytes, list[Message]] = {one: [] for one in channels}

    def note_opened(self) -> None:
        self._data_id = self.server.data.id
        for channel in self.membership.subscriptions:
            if self.server.id == self._asked_of:
                self._opened[channel] = self.server.data.channel(channel).head
            self.plain[channel] = []
            if self.cuts == self.link.cuts:
                self.sure[channel] = len(self.server.plain)

    def take(self, opcode: int, payload: bytes) -> None:
        if (message := self.server.kept.get(payload)) is None:
            self._note_plain(self.server.plain[payload][1], payload)
            return
        received = self._received[message.channel]
        assert message not in received, f"{message} came twice."
        received.append(message)

    def see_all(self) -> None:
        super().see_all()
        for channel in self.kept.intersection(self._opened):
            received = self._received[channel]
            starts, head = self._starts(channel), self.server.data.channel(channel).head
            # The first one may be the persisted one.
            orders = (received, received[1:])
            is_good = not starts or any(
                self._is_whole([start, *order], head) for order in orders for start in starts
            )
            assert is_good, f"{received} came, from {starts} to {head}."

    def _starts(self, channel: bytes) -> list[Message | None]:
        """Return after which messages it may begin; none if that can't be told any more."""
        first, last = self._asked[channel], self._opened[channel]
        possible = between(first, last)
        if possible is None:
            return []
        # With all data, Redis loses where a channel without messages was, too.
        is_known = first is not None or self.server.data.id == self._data_id
        return [first, *possible] if is_known else possible

    def _is_whole(self, order: list[Message | None], head: Message | None) -> bool:
        rest = between(order[-1], head) or ()
        return all(self._follows(*pair) for pair in pairwise(order)) and not self._due(rest)

    def _follows(self, first: Message | None, second: Message | None) -> bool:
        come = between(first, second)
        if come is None:
            # Redis went back; but what was before the first one may not come after it.
            return first is not None and second not in first.lineage()
        return bool(come) and not self._due(come[:-1])

    def _due(self, messages: Sequence[Message]) -> list[Message]:
        """Return what may not be missing; if some of it is gone, nothing of it comes."""
        if any(one.is_gone for one in messages):
            return []
        return [one for one in messages if not self.is_own(one.payload)]


class V1Browser(Browser):
    """One that speaks ``ws4redis.v1``."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.records: dict[bytes, Record] = {}
        self.active: dict[str, tuple[bytes, ...]] = {}
        """Channels by facility, as far as it was told."""
        self.asked: dict[int | None, tuple[str, dict[bytes, Position]]] = {}
        """What it said of its positions in each command, and of which facility."""
        self._gaps = 0

    @property
    def following(self) -> set[bytes]:
        """The channels that it follows."""
        return {channel for channels in self.active.values() for channel in channels}

    def inherit(self, other: V1Browser) -> None:
        """Go on with what another one remembers."""
        self.records = other.records
        self.own |= other.own
        for record in self.records.values():
            record._is_own = self.is_own

    def take(self, opcode: int, payload: bytes) -> None:
        line, separator, body = payload.partition(b"\n")
        head = json.loads(line)
        kind = head.pop("type")
        assert bool(separator) is (kind == "message")
        if kind == "message":
            self._on_message(body, **head)
        else:
            getattr(self, f"_on_{kind}")(**head)

    def see_all(self) -> None:
        super().see_all()
        assert not self.asked, f"No answer to {self.asked}."
        for channel in self.following & self.kept:
            self.records[channel].see_all()

    def _on_welcome(self, facility: str, channels: dict[str, Told], **_: Any) -> None:
        self._on_subscribed(facility, channels)

    def _on_subscribed(self, facility: str, channels: dict[str, Told], **told: Any) -> None:
        asked, since = self.asked.pop(told.get("id"))
        assert asked == facility
        self._leave(facility)
        self.active[facility] = tuple(name.encode() for name in channels)
        for channel, start in zip(self.active[facility], channels.values(), strict=True):
            self.plain[channel] = []
            if self.cuts + self._gaps == self.link.cuts:
                self.sure[channel] = len(self.server.plain)
            if channel in self.kept:
                self._record(channel).begin(start, since.get(channel))
            else:
                assert start == {}

    def _on_message(
        self, payload: bytes, channel: str, position: str = "", persisted: bool = False
    ) -> None:
        name = channel.encode()
        assert name in self.following, f"{name!r} is not followed."
        if position:
            self._record(name).follow(position, payload)
        elif payload in self.server.plain:
            self._note_plain(name, payload)
        else:
            assert persisted, f"{payload!r} has no position."
            self._see_not_new(name, self.server.kept[payload])

    def _on_gap(self, channel: str, position: str = "") -> None:
        name = channel.encode()
        assert name in self.following, f"{name!r} is not followed."
        if name in self.kept:
            self._record(name).skip(position)
            return
        self._gaps += 1
        if self.cuts + self._gaps == self.link.cuts:
            # From here on it relies on each message.
            self.sure[name] = len(self.server.plain)

    def _on_unsubscribed(self, facility: str, **told: int) -> None:
        del self.asked[told["id"]]
        self._leave(facility)

    def _on_refused(self, status: int, **told: Any) -> None:
        assert status == 503
        facility, _ = self.asked.pop(told["id"])
        self._leave(facility)

    def _leave(self, facility: str) -> None:
        for channel in self.active.pop(facility, ()):
            self.plain.pop(channel, None)
            self.sure.pop(channel, None)

    def _on_closing(self, **_: Any) -> None:
        self.active.clear()

    def _record(self, channel: bytes) -> Record:
        return self.records.setdefault(channel, Record(self.server, channel, self.is_own))

    def _see_not_new(self, channel: bytes, message: Message) -> None:
        """See that the persisted message will not come once more."""
        last = self.records[channel].last
        assert message.channel == channel
        if last is not None and message.position.epoch == last.position.epoch:
            assert message.position.offset <= last.position.offset
