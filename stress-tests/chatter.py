"""What chats say: JSON as sites send it, a list of lines whose words are drawn at random."""

from __future__ import annotations

import json
import random
import re
from itertools import cycle

from measurement import STAMP, WARM_UP, Arena, message
from scenario import Figures

OFFER = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
"""The header of a client that takes compressed messages, as browsers send it."""
VARIANTS = 50
"""Messages that differ."""
WORDS = re.findall(
    r"\w+",
    "the meeting moved to friday because nobody can come on thursday please bring the figures of "
    "last month and tell mary that john has already sent his part of the report to everybody",
)


def chat(size: int, seed: int) -> bytes:
    """Return JSON of so many bytes, another one for each seed."""
    chance = random.Random(seed)
    lines: list[dict[str, object]] = []
    while len(text := json.dumps(lines)) < size:
        words = " ".join(chance.choice(WORDS) for _ in range(12))
        lines.append({"id": chance.randrange(10**9), "user": chance.choice(WORDS), "text": words})
    return text[:size].encode()


def publish_chat(field: Arena, clients: int, size: int, rate: float, seconds: float) -> Figures:
    """Connect clients and publish at a rate; return the microseconds and bytes of a delivery."""
    texts = cycle([chat(size - STAMP, seed) for seed in range(VARIANTS)])
    field.load.connect(clients)

    def publish(count: int) -> float:
        field.load.reset()
        field.at_rate(lambda due: field.publish([message(STAMP, due) + next(texts)]), rate, count)
        return field.load.wait(count * clients).bytes / count / clients

    publish(round(rate * WARM_UP))
    before, count = field.server.cpu(), round(rate * seconds)
    sent = publish(count)
    return {"cpu_us": (field.server.cpu() - before) * 1e6 / count / clients, "bytes": sent}
