"""A federated run, repeatable: everything that decides it, as typed values."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal, TypeAlias

import tomli_w
from attar.recipe import DataRecipe, Recipe, RunRecipe, SizeRecipe, without_none
from attar.settings import Settings
from pydantic import Field, field_validator, model_validator

from attar_federated.partitions import Partition
from attar_federated.records import LocalSettings, Wire

__all__ = ["FederatedRecipe", "PrivacySettings", "ProtocolName", "RobustSettings"]

ProtocolName: TypeAlias = Literal["one-shot", "feddm", "fedavg", "fedprox"]
"""How clients and server work together."""

_ROUNDS = {"one-shot": 1, "feddm": 5, "fedavg": 50, "fedprox": 50}


class RobustSettings(Settings):
    """How the server tells clients whose labels or samples are wrong.

    Attributes:
        threshold: Agreement of a client with the others, relative to the median client, below which it
            is dropped.
        epochs: Passes of the networks that judge.
    """

    threshold: float = Field(default=0.5, gt=0, lt=1)
    epochs: int = Field(default=60, ge=1)


class PrivacySettings(Settings):
    """What each client adds so that what it sends tells little of any one of its samples.

    Attributes:
        noise: Standard deviation of the noise on a sum of embeddings, per `clip`.
        clip: Largest norm of a sample's embedding.
        rate: Probability that a sample is part of a sum.
        delta: Probability that the guarantee may fail.
        counts: ``public`` where anybody may know how many samples of each class a client has; ``noised``
            adds noise to the counts, which takes a part of the guarantee; ``hidden`` uses none.
        count_noise: Standard deviation of the noise on a count, where counts are noised.
        least: Noised samples from which on a client has a class, where counts are noised.
        divisor: Samples of a class that a sum is divided by, where counts are hidden.
        mean: What is taken for the mean of all values, in units of their scale (255 for pixels); public.
        std: What is taken for their standard deviation likewise; public.
    """

    noise: float = Field(default=1.0, gt=0)
    clip: float = Field(default=1.0, gt=0)
    rate: float = Field(default=0.1, gt=0, le=1)
    delta: float = Field(default=1e-5, gt=0, lt=1)
    counts: Literal["public", "noised", "hidden"] = "noised"
    count_noise: float = Field(default=10.0, gt=0)
    least: int = Field(default=50, ge=1)
    divisor: int = Field(default=100, ge=1)
    mean: float = 0.5
    std: float = Field(default=0.5, gt=0)


class FederatedRecipe(Settings):
    """A federated run.

    Attributes:
        data: Which data, that of the server and, in a simulation, of all clients together.
        clients: Number of clients.
        partition: Which client has which training samples, such as ``dirichlet,alpha=0.1``.
        protocol: How clients and server work together.
        distiller: Method that clients distill with.
        size: How large the set of a client is.
        objective: The method's settings.
        parameterization: The parameterization's settings.
        model: Architecture of the global network; "" takes the default of the data.
        rounds: Rounds at most; 0 takes one for ``one-shot``, 5 for ``feddm``, else 50.
        target: Accuracy on held-out data, in percent, from which on rounds end; 0 for none.
        hold: Rounds for which it must hold.
        wire: What real values are sent as.
        local: How clients train, for ``fedavg`` and ``fedprox``.
        radius: Norm of what is added to the global network before it is matched on, for ``feddm``.
        training: Changes to how the server trains on a union, by name, as of a protocol of evaluation.
        networks: Networks that are trained on the union of ``one-shot``, whose mean is reported.
        robust: How wrong clients are told, or None.
        privacy: What clients add for privacy, or None.
        slack: How much larger values may be than those of the server's own samples.
        clip: Largest norm of the update of a network that a client sends, in medians of all clients.
        claims: Training samples that all clients may say they have together; 0 for as many as the server has.
        run: Seed, storage type and precision.
    """

    data: DataRecipe
    clients: int = Field(default=10, ge=1)
    partition: str = "iid"
    protocol: ProtocolName = "one-shot"
    distiller: str = "dm"
    size: SizeRecipe = SizeRecipe(ipc=10, policy="cap")
    objective: dict[str, Any] = {}
    parameterization: dict[str, Any] = {}
    model: str = ""
    rounds: int = Field(default=0, ge=0)
    target: float = Field(default=0.0, ge=0, le=100)
    hold: int = Field(default=3, ge=1)
    wire: Wire = "float32"
    local: LocalSettings = LocalSettings()
    radius: float = Field(default=5.0, ge=0)
    training: dict[str, Any] = {}
    networks: int = Field(default=1, ge=1)
    robust: RobustSettings | None = None
    privacy: PrivacySettings | None = None
    slack: float = Field(default=10.0, ge=1)
    clip: float = Field(default=3.0, ge=1)
    claims: int = Field(default=0, ge=0)
    run: RunRecipe = RunRecipe()

    @field_validator("size", mode="before")
    @classmethod
    def _capped(cls, value: Any) -> Any:
        # A client has what it has: where that is less than is asked for, it sends less.
        return {"policy": "cap", **value} if isinstance(value, dict) else value

    @field_validator("partition")
    @classmethod
    def _known(cls, value: str) -> str:
        Partition.of(value)
        return value

    @model_validator(mode="after")
    def _fits(self) -> FederatedRecipe:
        if self.averages and self.wire == "uint8":
            raise ValueError(f"networks are not sent as uint8; choose wire=float16 for {self.protocol}")
        for name in ("robust", "privacy"):
            if self.averages and getattr(self, name) is not None:
                raise ValueError(f"{name} is for protocols that send sets, one-shot and feddm")
        if self.privacy is not None and self.protocol != "one-shot":
            raise ValueError("privacy is for the protocol one-shot, which looks at the data in one round")
        if self.privacy is not None and self.distiller != "dm":
            raise ValueError("privacy is for the distiller dm, whose only look at the data are class sums")
        return self

    @property
    def averages(self) -> bool:
        """Whether clients send networks instead of sets."""
        return self.protocol in ("fedavg", "fedprox")

    @property
    def last(self) -> int:
        """The number of the last round, at most."""
        return self.rounds or _ROUNDS[self.protocol]

    def recipe(self) -> Recipe:
        """Return how a client distills."""
        objective = dict(self.objective)
        if self.privacy is not None:
            # What the server expects to reach starts where the clients start.
            objective["init"] = "noise"
        if self.model:
            objective.setdefault("model", self.model)
        dtype = "float16" if self.wire == "float16" else "float32"
        return Recipe(
            # A client's data are a part of these, with a fingerprint of their own.
            data=self.data.model_copy(update={"fingerprint": ""}),
            size=self.size,
            method=self.distiller,
            objective=objective,
            parameterization=self.parameterization,
            run=self.run.model_copy(update={"dtype": dtype}),
        )

    def digest(self) -> str:
        """Return a hash of everything that decides a round."""
        values = self.model_dump(mode="json")
        for key in ("rounds", "target", "hold"):
            values.pop(key)
        values["data"].pop("fingerprint")
        return hashlib.blake2b(json.dumps(values, sort_keys=True).encode(), digest_size=16).hexdigest()

    def to_toml(self) -> str:
        """Return the run as TOML."""
        return tomli_w.dumps(without_none(self.model_dump(mode="json")))
