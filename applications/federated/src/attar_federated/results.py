"""What a federated run says: typed results, the same in Python, JSON and tables."""

from __future__ import annotations

from attar.reports import Score
from attar.settings import Record

from attar_federated.grid import Bytes

__all__ = ["NO_GUARANTEE", "Dropped", "FederatedResult", "Privacy", "Round", "reached"]

NO_GUARANTEE = "no formal guarantee"
"""What a result says of privacy where nothing was added for it."""


class Dropped(Record):
    """A reply that was not used.

    Attributes:
        round: The round.
        client: The node.
        reason: Why.
    """

    round: int
    client: int
    reason: str


class Round(Record):
    """A round.

    Attributes:
        round: Its number, from 1.
        accuracy: Test accuracy of the global network after it, in percent.
        validation: Accuracy on held-out training data; None without such.
        bytes: What was sent in it.
        seconds: Wall seconds of asking, waiting and learning.
        cpu: CPU seconds that the clients say they took, in all.
        clients: Clients whose replies were used.
    """

    round: int
    accuracy: float
    validation: float | None = None
    bytes: Bytes
    seconds: float
    cpu: float = 0.0
    clients: int = 0


class Privacy(Record):
    """What is guaranteed to each sample of each client.

    Attributes:
        guarantee: In words; :data:`NO_GUARANTEE` where nothing was added.
        epsilon: ε, the same for all clients that were used; the largest where they differ.
        delta: δ.
        neighbors: Which data sets count as neighbors.
    """

    guarantee: str = NO_GUARANTEE
    epsilon: float | None = None
    delta: float | None = None
    neighbors: str = ""


class FederatedResult(Record):
    """A federated run.

    Attributes:
        protocol: How clients and server worked together.
        accuracy: Test accuracy of the global network at the end, over all networks that were trained.
        chance: Test accuracy of answering the most frequent class every time; None where it was not noted.
        bytes: What was sent in all rounds.
        rounds: The rounds.
        validation: Accuracy of the same networks on held-out training data.
        data: Name of the data.
        modality: Their modality.
        partition: Which client has which samples.
        clients: Number of clients.
        distiller: Method that clients distilled with; "" where they sent networks.
        architecture: The global network.
        parameters: Its parameters.
        wire: What real values were sent as.
        seed: Seed of every draw.
        samples: Samples that the union decodes to; 0 where clients sent networks.
        dropped: Replies that were not used.
        privacy: What is guaranteed.
        counts: Training samples of each class that each client has, in a simulation.
        seconds: Wall seconds in all.
    """

    protocol: str
    accuracy: Score
    chance: float | None = None
    bytes: Bytes
    rounds: tuple[Round, ...]
    validation: Score | None = None
    data: str
    modality: str
    partition: str
    clients: int
    distiller: str = ""
    architecture: str
    parameters: int = 0
    wire: str
    seed: int
    samples: int = 0
    dropped: tuple[Dropped, ...] = ()
    privacy: Privacy = Privacy()
    counts: tuple[tuple[int, ...], ...] = ()
    seconds: float = 0.0


def reached(rounds: tuple[Round, ...], accuracy: float, hold: int = 3) -> tuple[int, Bytes] | None:
    """Return the round in which an accuracy is first held, and the bytes sent until then.

    Args:
        rounds: The rounds, in order.
        accuracy: Test accuracy in percent.
        hold: Rounds for which it must hold, the first included; fewer where rounds end.

    Returns:
        The first of these rounds, and what was sent up to the end of it; None if there is none.
    """
    spent = Bytes()
    for place, each in enumerate(rounds):
        spent = spent.plus(each.bytes)
        held = rounds[place : place + hold]
        if len(held) == min(hold, len(rounds)) and all(one.accuracy >= accuracy for one in held):
            return each.round, spent
    return None
