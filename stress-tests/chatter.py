"""What chats say: JSON as sites send it, a list of lines whose words are drawn at random."""

from __future__ import annotations

import json
import random
import re

OFFER = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
"""The header of a client that takes compressed messages, as browsers send it."""
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
