"""An app that keeps messages in the database until they are sent, so that no crash loses one.

A message is written in the transaction that it tells of. After the commit it is published, and
deleted. What a crash, or a Redis that is away, leaves over is sent by the relay. The idempotency
key of the message keeps it from being published twice.
"""
