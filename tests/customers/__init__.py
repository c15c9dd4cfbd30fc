"""A site's own users."""

from __future__ import annotations
