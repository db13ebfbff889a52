"""What a strategy works with, and what it asks of clients."""

from __future__ import annotations

from dataclasses import dataclass, field

from attar.contracts import Task
from attar.errors import UsageError
from attar.plugins import Modality
from attar.protocols import Protocol, changed
from attar.recipe import resolve
from attar.registry import Registry
from attar.runs import check_recipe
from flwr.app import ArrayRecord
from torch import nn

from attar_federated.clients import check_around
from attar_federated.privacy import check_apart
from attar_federated.records import Ask
from attar_federated.settings import FederatedRecipe
from attar_federated.wire import packed

__all__ = ["Setting", "state_arrays"]


@dataclass(frozen=True)
class Setting:
    """What a strategy works with.

    Attributes:
        recipe: The run.
        task: The server's data.
        registry: The plugins known.
    """

    recipe: FederatedRecipe
    task: Task
    registry: Registry = field(default_factory=Registry, repr=False)

    @property
    def model(self) -> str:
        """Architecture of the global network."""
        return self.recipe.model or self.task.architecture

    @property
    def modality(self) -> Modality:
        """What rebuilds sets."""
        found: Modality = self.registry.get("modalities", self.task.modality)
        return found

    @property
    def protocol(self) -> Protocol:
        """How networks are trained on unions."""
        return changed(next(iter(self.task.protocols.values())), self.recipe.training)

    def ask(self, number: int) -> Ask:
        """Return what is asked of clients in a round."""
        recipe = self.recipe
        return Ask(
            round=number,
            recipe=recipe.recipe(),
            classes=self.task.classes,
            preprocessing=dict(self.task.preprocessing),
            wire=recipe.wire,
            model=self.model,
            radius=recipe.radius if recipe.protocol == "feddm" else None,
            local=recipe.local,
            privacy=None if recipe.privacy is None else recipe.privacy.model_dump(mode="json"),
        )

    def check(self) -> None:
        """Refuse, before any work, what cannot be carried out.

        Raises:
            UsageError: Naming it.
        """
        if self.recipe.target and not self.task.size("validation"):
            raise UsageError(
                f"a target is judged on held-out data, which {self.task.name!r} has not; load it with a "
                f"validation part, as by --set data.validation=0.1, or leave the target out"
            )
        if self.recipe.averages:
            return
        resolved = resolve(self.recipe.recipe(), self.registry)
        if resolved.method is None:
            raise UsageError(
                f"{self.recipe.distiller!r} selects real samples, which clients would send as they are; "
                f"choose a method that distills"
            )
        check_recipe(self.task, resolved)
        if self.recipe.privacy is not None:
            check_apart(self.task, self.model, self.recipe.run.seed)
        if self.recipe.protocol == "feddm":
            check_around(resolved.method, self.recipe.distiller, resolved.settings)


def state_arrays(model: nn.Module, recipe: FederatedRecipe) -> ArrayRecord:
    """Return the state of a network as it is sent."""
    return packed(model.state_dict(), "float16" if recipe.wire == "float16" else "float32")[0]
