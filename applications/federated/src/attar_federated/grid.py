"""Grids: one that counts what crosses it, and one inside of this process."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable
from typing import Any

from attar.settings import Record
from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid

__all__ = ["Bytes", "CountingGrid", "InProcessGrid", "Interrupted", "counted", "wait_for"]

_PAUSE = 0.2


class Interrupted(Exception):
    """Somebody asked a run to stop; what it did until the last round is saved."""


class Bytes(Record):
    """Bytes of what is sent: arrays with their headers, names, numbers and texts.

    Attributes:
        up: From the clients.
        down: To the clients.
    """

    up: int = 0
    down: int = 0

    def plus(self, other: Bytes) -> Bytes:
        """Return the bytes of both."""
        return Bytes(up=self.up + other.up, down=self.down + other.down)


def counted(message: Message) -> int:
    """Return the bytes of a message's content, or of the reason that an error gives."""
    if message.has_error():
        return len((message.error.reason or "").encode(errors="replace"))
    try:
        return sum(record.count_bytes() for record in message.content.values())
    except Exception:
        # Flower cannot count an empty text, say; no reply that is used holds what it cannot count.
        return 0


class CountingGrid(Grid):
    """Another grid, whose messages are counted.

    Args:
        grid: The other grid.
        stop: Asked while replies are waited for; True ends the waiting with :class:`Interrupted`.

    Attributes:
        bytes: What crossed since the last call of :meth:`begin`.
        asked: The node that each message of the round was sent to.
    """

    def __init__(self, grid: Grid, stop: Callable[[], bool] = lambda: False) -> None:
        self._grid, self._stop = grid, stop
        self.begin()

    def begin(self) -> None:
        """Count from nothing, as for a new round."""
        self.bytes = Bytes()
        self.asked: dict[str, int] = {}

    def set_run(self, run: Any) -> None:
        """Tell the other grid which run it is for."""
        self._grid.set_run(run)

    @property
    def run(self) -> Any:
        """The run."""
        return self._grid.run

    def get_node_ids(self) -> Iterable[int]:
        """Return the nodes that are there."""
        return self._grid.get_node_ids()

    def create_message(self, *args: Any, **kwargs: Any) -> Message:
        """Return a message; see :class:`flwr.serverapp.Grid`."""
        return self._grid.create_message(*args, **kwargs)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send messages, count them and return their names."""
        sent = list(messages)
        names = list(self._grid.push_messages(sent))
        for message, name in zip(sent, names, strict=True):
            self.asked[name] = message.metadata.dst_node_id
            self.bytes = self.bytes.plus(Bytes(down=counted(message)))
        return names

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return and count the replies that are there."""
        replies = list(self._grid.pull_messages(message_ids))
        self.bytes = self.bytes.plus(Bytes(up=sum(map(counted, replies))))
        return replies

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Send messages and return the replies that come in time."""
        # In the order of sending, so that nothing depends on how names happen to be hashed.
        left = list(self.push_messages(messages))
        end = None if timeout is None else time.monotonic() + timeout
        replies: list[Message] = []
        while left:
            found = list(self.pull_messages(left))
            replies += found
            answered = {reply.metadata.reply_to_message_id for reply in found}
            left = [name for name in left if name not in answered]
            if left and self._stop():
                raise Interrupted
            if left and end is not None and time.monotonic() >= end:
                break
            if left:
                time.sleep(_PAUSE)
        return replies


def wait_for(grid: Grid, clients: int, seconds: float) -> list[int]:
    """Return the nodes, once there are as many as asked for or the time is over."""
    end = time.monotonic() + seconds
    while len(nodes := sorted(grid.get_node_ids())) < clients and time.monotonic() < end:
        time.sleep(_PAUSE)
    return nodes


class InProcessGrid(Grid):
    """Clients that are called one after another in this process, without a server of Flower's.

    Args:
        app: The app of every client.
        clients: Number of clients.
        node_configs: What each node is configured with beside its number.
    """

    def __init__(
        self, app: ClientApp, clients: int, node_configs: Iterable[dict[str, Any]] | None = None
    ) -> None:
        # Messages ask whose they are, which a runtime of Flower's sets and nothing public does.
        from flwr.supercore.task_identity import TaskIdentity

        TaskIdentity.run_id = TaskIdentity.task_id = TaskIdentity.node_id = 1
        own = list(node_configs) if node_configs is not None else [{} for _ in range(clients)]
        self._app = app
        self._names = itertools.count()
        self._replies: dict[str, Message] = {}
        self._run: Any = None
        self._contexts = {
            number + 1: Context(
                run_id=1,
                node_id=number + 1,
                node_config={"partition-id": number, "num-partitions": clients, **own[number]},
                state=RecordDict(),
                run_config={},
            )
            for number in range(clients)
        }

    def set_run(self, run: Any) -> None:
        """Note the run."""
        self._run = run

    @property
    def run(self) -> Any:
        """The run."""
        return self._run

    def get_node_ids(self) -> Iterable[int]:
        """Return the nodes."""
        return list(self._contexts)

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Return a message."""
        return Message(
            content=content, message_type=message_type, dst_node_id=dst_node_id, group_id=group_id, ttl=ttl
        )

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Have each message answered, and return the names that replies go by."""
        names = []
        for message in messages:
            name = f"message-{next(self._names)}"
            message.metadata.__dict__["_message_id"] = name
            self._replies[name] = self._answer(message)
            names.append(name)
        return names

    def _answer(self, message: Message) -> Message:
        try:
            return self._app(message, self._contexts[message.metadata.dst_node_id])
        except Exception as error:
            # As Flower's runtimes do: a client that fails is a reply that says so.
            return Message(Error(code=2, reason=f"{type(error).__name__}: {error}"), reply_to=message)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the replies to these messages."""
        return [self._replies.pop(name) for name in list(message_ids) if name in self._replies]

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Have messages answered; how long it takes is not limited."""
        return self.pull_messages(self.push_messages(messages))
