"""``manage.py ws4redis``: serve websockets, check them, close some, send what was left over."""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from argparse import ArgumentTypeError
from contextlib import suppress
from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

from ws4redis.changes import kick
from ws4redis.conf import get_settings
from ws4redis.doctor import report
from ws4redis.doctor.checkup import Wishes, check
from ws4redis.exceptions import BusError
from ws4redis.serve import inheritance, logs, patched, process
from ws4redis.serve.listener import UnixRights

_SECONDS = re.compile(r"\d{1,4}(\.\d+)?", re.ASCII)


class Command(BaseCommand):
    """Commands of ws4redis."""

    help = "Serve websockets, check them, close some of them, send what was left over."
    # "check" looks by itself, and goes on where Django would stop.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the subcommands."""
        subcommands = parser.add_subparsers(dest="subcommand", required=True)
        _add_serve(subcommands)
        _add_check(subcommands)
        _add_kick(subcommands)
        _add_relay(subcommands)

    def handle(self, *args: Any, **options: Any) -> None:
        """Run a subcommand."""
        options["run"](self, options)


def _add_serve(subcommands: Any) -> None:
    """Declare ``serve``."""
    serve = subcommands.add_parser("serve", help="Hold websockets until SIGTERM or Ctrl-C.")
    serve.set_defaults(run=_serve)
    serve.add_argument(
        "--bind",
        action="append",
        metavar="HOST:PORT|unix:PATH",
        help="Where to listen, may be given several times; default 127.0.0.1:8001, or the sockets "
        "that systemd hands over.",
    )
    serve.add_argument(
        "--workers", type=_positive, default=1, help="Number of processes; default 1."
    )
    serve.add_argument(
        "--monkey-patch",
        action="store_true",
        help="Patch Python by gevent before anything is loaded: views and hooks run in greenlets, "
        "not in threads. Mind the driver of your database.",
    )
    serve.add_argument(
        "--socket-mode",
        type=_mode,
        default=0o666,
        metavar="OCTAL",
        help="Permissions of unix sockets; default 666: every user of this machine may connect.",
    )
    serve.add_argument("--socket-group", metavar="NAME", help="Group of unix sockets.")
    serve.add_argument(
        "--log-format",
        choices=logs.FORMATS,
        help="Log to stderr in this form; default plain, unless LOGGING says where messages go.",
    )
    serve.add_argument("--log-level", choices=logs.LEVELS, help="Least level; default info.")


def _add_check(subcommands: Any) -> None:
    check = subcommands.add_parser(
        "check", help="Try settings, Redis and, with a URL, a websocket; name what is wrong."
    )
    check.set_defaults(run=_check)
    check.add_argument(
        "url", nargs="?", help="Address of the site as browsers know it: https://example.com"
    )
    check.add_argument("--json", action="store_true", help="Write the findings as JSON.")
    check.add_argument("--facility", help="Facility to use; default one that nobody else uses.")
    check.add_argument("--user", metavar="NAME", help="Log this user in for the check.")
    check.add_argument("--cookie", help="Send this Cookie header instead of making a session.")
    check.add_argument("--quick", action="store_true", help="Do not wait for pings.")
    check.add_argument("--insecure", action="store_true", help="Accept a bad certificate.")
    check.add_argument(
        "--timeout", type=_seconds, default=5.0, help="Seconds for each answer; default 5."
    )


def _add_kick(subcommands: Any) -> None:
    kicks = subcommands.add_parser(
        "kick", help="Close open websockets on all processes; they do not come back by themselves."
    )
    kicks.set_defaults(run=_kick)
    for name, metavar, meaning in (
        ("user", "NAME", "Those of this user"),
        ("session", "KEY", "Those of this session"),
        ("address", "ADDRESS", "Those from this address"),
    ):
        kicks.add_argument(
            f"--{name}",
            action="append",
            default=[],
            metavar=metavar,
            help=f"{meaning}; may be given several times.",
        )


def _add_relay(subcommands: Any) -> None:
    relay = subcommands.add_parser(
        "relay", help="Send durable messages that a crash or an outage of Redis has left over."
    )
    relay.set_defaults(run=_relay)
    relay.add_argument("--once", action="store_true", help="Look once, and end.")
    relay.add_argument(
        "--interval", type=_seconds, default=5.0, help="Seconds between two looks; default 5."
    )
    relay.add_argument(
        "--grace",
        type=_grace,
        default=10.0,
        metavar="SECONDS",
        help="Leave a message that long to the process that wrote it; default 10.",
    )
    relay.add_argument("--database", metavar="ALIAS", help="Where they are; one relay for each.")


def _relay(command: BaseCommand, options: dict[str, Any]) -> None:
    if not apps.is_installed("ws4redis.outbox"):
        raise CommandError("Add 'ws4redis.outbox' to INSTALLED_APPS, and run manage.py migrate.")
    # Its models can't be imported without the app.
    from ws4redis.outbox import relay

    database, grace = options["database"], options["grace"]
    if database is not None and database not in connections:
        raise CommandError(
            f"There is no database {database!r}; there are {', '.join(connections)}."
        )
    if not options["once"]:
        logs.configure(None, None)
        with suppress(KeyboardInterrupt):
            relay.relay(database, grace, options["interval"])
        return
    try:
        sent = relay.relay_once(database, grace)
    except BusError as error:
        raise CommandError(str(error)) from error
    command.stdout.write(f"Sent {sent} message{'' if sent == 1 else 's'}.")


def _kick(command: BaseCommand, options: dict[str, Any]) -> None:
    users, sessions, addresses = options["user"], options["session"], options["address"]
    if not (users or sessions or addresses):
        raise CommandError("Say whom: --user NAME, --session KEY or --address ADDRESS.")
    try:
        told = kick(users=users, sessions=sessions, addresses=addresses)
    except (BusError, TypeError) as error:
        raise CommandError(str(error)) from error
    command.stdout.write(f"Told {told} websocket process{'' if told == 1 else 'es'}.")


def _check(command: BaseCommand, options: dict[str, Any]) -> None:
    wishes = Wishes(**{field.name: options[field.name] for field in dataclasses.fields(Wishes)})
    if wishes.url and not (wishes.quick or options["json"]):
        command.stderr.write("This waits for pings; --quick leaves that out.")
    findings = []
    try:
        for finding in check(wishes):
            findings.append(finding)
            if not options["json"]:
                command.stdout.write(report.as_text(finding))
                command.stdout.flush()
    except ValueError as error:
        if not options["json"]:
            raise CommandError(str(error)) from error
        findings.append(report.Finding("arguments", report.Level.PROBLEM, str(error)))
    if options["json"]:
        command.stdout.write(report.as_json(findings))
    if not report.is_healthy(findings):
        sys.exit(1)


def _serve(command: BaseCommand, options: dict[str, Any]) -> None:
    if options["monkey_patch"] and options["workers"] == 1 and not patched.is_patched():
        _start_patched()
    command.check()

    def announce(addresses: str) -> None:
        command.stdout.write(f"Websockets are served at {addresses}; stop with Ctrl-C.")
        command.stdout.flush()

    try:
        logs.configure(options["log_format"], options["log_level"])
    except ModuleNotFoundError as error:
        raise CommandError("JSON logs need: pip install 'ws4redis[json]'") from error
    if inheritance.is_trial(os.environ):
        return
    rights = UnixRights(options["socket_mode"], options["socket_group"])
    try:
        inherited = process.inherit(options["bind"], rights)
    except ValueError as error:
        raise CommandError(str(error)) from error
    status = process.run(
        inherited,
        options["workers"],
        get_settings().drain_time,
        announce,
        _patched_command() if options["monkey_patch"] else inheritance.command(),
    )
    if status:
        raise CommandError("The websocket processes could not be started.", returncode=status)


def _start_patched() -> None:
    """Become a process that is patched before Django is loaded; this one has loaded it."""
    arguments = _patched_command()
    os.execv(arguments[0], arguments)


def _patched_command() -> list[str]:
    if patched.is_patched():
        return inheritance.command()
    try:
        return patched.command()
    except ValueError as error:
        raise CommandError(f"--monkey-patch: {error}") from error


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    if not _SECONDS.fullmatch(text) or float(text) == 0:
        raise ArgumentTypeError(f"must be seconds, more than 0 and less than 10000, got {text!r}")
    return float(text)


def _grace(text: str) -> float:
    if not _SECONDS.fullmatch(text):
        raise ArgumentTypeError(f"must be seconds, from 0 to less than 10000, got {text!r}")
    return float(text)


def _mode(text: str) -> int:
    if not re.fullmatch("[0-7]{3,4}", text) or int(text, 8) > 0o777:
        raise ArgumentTypeError(f"must be permissions such as 660, got {text!r}")
    return int(text, 8)
