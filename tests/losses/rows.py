"""The faults, and how large each of them is in the table."""

from __future__ import annotations

import random
import signal
from typing import Any

from tests.losses.scene import Row, Scene
from tests.waiting import wait_for

NOWHERE = ("127.0.0.1", "1")


def cut_link(scene: Scene) -> None:
    """The site's link to Redis is cut for a while; others go on publishing."""
    scene.network.refuse()
    scene.network.cut()
    scene.publish_for(scene.row.seconds)
    scene.network.allow()


def restart(scene: Scene) -> None:
    """Redis dies and starts again, with what it wrote down."""
    scene.redis.stop(signal.SIGKILL)
    scene.start_redis()


def fail_over(scene: Scene) -> None:
    """The replica takes over, once it has everything."""
    with scene.redis.client() as master:
        # As FAILOVER does it.
        master.execute_command("CLIENT", "PAUSE", 60_000, "WRITE")
        wait_for(lambda: _offset(scene, scene.replica) == _offset(scene, scene.redis))
    promote(scene)


def fail_over_behind(scene: Scene) -> None:
    """The replica takes over, and has nothing of the last moments."""
    leave_behind(scene)
    scene.publish_for(scene.row.seconds)
    promote(scene)


def leave_behind(scene: Scene) -> None:
    """Let the replica get nothing more."""
    with scene.replica.client() as replica:
        replica.execute_command("REPLICAOF", *NOWHERE)


def _offset(scene: Scene, redis: Any) -> int:
    return int(scene.replication(redis)["master_repl_offset"])


def promote(scene: Scene) -> None:
    scene.network.path = scene.switch.path = scene.replica.path
    scene.redis.stop(signal.SIGKILL)
    with scene.replica.client() as replica:
        replica.execute_command("REPLICAOF", "NO", "ONE")


def kill_worker(scene: Scene) -> None:
    """One process of several is gone at once, with all its websockets."""
    before = [state["connects"] for state in scene.ask_all()]
    wait_for(scene.site.workers)[0].kill()
    # It may have had clients of one kind only.
    wait_for(lambda: [state["connects"] for state in scene.ask_all()] != before)


def deploy(scene: Scene) -> None:
    """Other processes take the place of all that run."""
    scene.site.reload()
    scene.wait_for_clients(lambda state: state["fewest_connects"] > 1)


def suspend(scene: Scene) -> None:
    """The clients stand still, as on a computer that sleeps."""
    scene.signal_all(signal.SIGSTOP)
    try:
        scene.publish_for(scene.row.seconds)
    finally:
        scene.signal_all(signal.SIGCONT)


def lag(scene: Scene) -> None:
    """The clients do not read, until much more is published than anybody keeps for them."""
    scene.ask_all("pause")
    scene.publish_for(scene.row.seconds)
    scene.ask_all("resume")


def many(scene: Scene) -> None:
    """One fault follows the other, in whatever state the one before has left all."""
    chances = random.Random(scene.row.times)
    for _ in range(scene.row.times):
        chances.choice((cut_link, restart, kill_worker, deploy_on, suspend, lag))(scene)


def deploy_on(scene: Scene) -> None:
    """Begin a deploy, and do not wait for its end."""
    scene.site.reload()


def nothing(scene: Scene) -> None:
    """Messages are published, that is all."""
    scene.publish_for(scene.row.seconds)


DURABLE = ("--appendonly", "yes", "--appendfsync", "always")
ROWS = (
    Row(name="link", title="the link to Redis is cut for 2 s", fault=cut_link),
    Row(
        name="restart",
        title="Redis restarts, with its data",
        fault=restart,
        redis=DURABLE,
    ),
    Row(name="empty", title="Redis restarts, without its data", fault=restart, is_gone=True),
    Row(
        name="failover",
        title="a replica takes over that has everything",
        fault=fail_over,
        has_replica=True,
    ),
    Row(
        name="behind",
        title="a replica takes over that lacks the last 2 s",
        fault=fail_over_behind,
        has_replica=True,
        is_gone=True,
    ),
    Row(name="kill", title="`kill -9` of one worker", fault=kill_worker),
    Row(
        name="deploy",
        title="graceful deploy with 1000 clients",
        fault=deploy,
        clients=1000,
        rate=2.0,
    ),
    Row(
        name="suspend",
        title="clients are suspended for 10 s",
        fault=suspend,
        seconds=10.0,
    ),
    Row(
        name="slow",
        title="clients do not read for 10 s",
        fault=lag,
        seconds=10.0,
        clients=10,
        size=16_384,
        settings={"WS4REDIS_OUTBOX_SIZE": 2**16},
        is_slow=True,
    ),
    Row(
        name="many",
        title="twenty of these faults, one after the other",
        fault=many,
        seconds=1.0,
        times=20,
        clients=50,
        redis=DURABLE,
    ),
    Row(
        name="rate",
        title="two publishers, 250 messages a second each, for a minute",
        fault=nothing,
        seconds=60.0,
        clients=4,
        rate=250.0,
    ),
)
