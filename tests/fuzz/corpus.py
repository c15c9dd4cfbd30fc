"""The files from which fuzzing starts: one folder for each target, one input in each file."""

from __future__ import annotations

import hashlib
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"


def load(target: str) -> dict[str, bytes]:
    """Return the inputs of a target by their names, always in the same order."""
    return {path.name: path.read_bytes() for path in sorted((CORPUS / target).iterdir())}


def store(target: str, name: str, data: bytes) -> Path:
    """Write an input; return its file."""
    path = CORPUS / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def store_crash(target: str, data: bytes) -> Path:
    """Keep an input that broke a promise, until somebody gives it a better name."""
    return store(target, f"crash-{hashlib.sha1(data).hexdigest()[:12]}", data)
