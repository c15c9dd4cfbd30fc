"""What tests of websockets need; no part of a site imports it."""
