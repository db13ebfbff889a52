"""Rules of a node about what it sends, whatever the server asks for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attar.cache import locked
from attar.errors import UsageError
from attar.files import read_json, to_json, write_file
from attar.settings import Record, Settings, parse
from pydantic import Field, TypeAdapter, ValidationError

from attar_federated.settings import PrivacySettings

__all__ = ["NodePolicy", "Release"]

_PREFIX = "privacy-"

_LIST = TypeAdapter(list[dict[str, Any]])


class Release(Record):
    """A release of a node, as its file keeps it.

    Attributes:
        privacy: The noise.
        looks: Networks that the data were shown to.
    """

    privacy: PrivacySettings
    looks: int = Field(ge=1)


class NodePolicy(Settings):
    """Rules of a node, from its own configuration (``--node-config``), which the server cannot change.

    Attributes:
        trusted: Whether the server is trusted: what it asks for is sent, without noise too. Otherwise only
            sets with noise are sent, by the rules below.
        releases: A file of the node's that counts what was sent; needed where the server is not trusted.
        max_releases: Sets that are sent in all.
        min_noise: Least noise multiplier of a look.
        min_count_noise: Least standard deviation of the noise on counts.
        public_counts: Whether exact counts of the classes may be sent.
        max_epsilon: Largest ε of all that is sent, together, whatever δ the server asks for.
        delta: The δ of that ε.
    """

    trusted: bool = True
    releases: str = ""
    max_releases: int = Field(default=1, ge=1)
    min_noise: float = Field(default=1.0, gt=0)
    min_count_noise: float = Field(default=10.0, gt=0)
    public_counts: bool = False
    max_epsilon: float = Field(default=10.0, gt=0)
    delta: float = Field(default=1e-5, gt=0, lt=1)

    @staticmethod
    def of(node: Mapping[str, Any]) -> NodePolicy:
        """Return the rules in the configuration of a node: keys such as ``privacy-trusted=false``.

        Raises:
            UsageError: If a key is unknown, a value does not fit, or a file of releases is missing.
        """
        said = {
            key.removeprefix(_PREFIX).replace("-", "_"): value
            for key, value in node.items()
            if key.startswith(_PREFIX)
        }
        policy = parse(NodePolicy, said, "node-config privacy")
        if not policy.trusted and not policy.releases:
            raise UsageError(
                "a node that does not trust the server counts what it sends; name a file of its own, as in "
                "--node-config 'privacy-trusted=false privacy-releases=\"/srv/releases.json\"'"
            )
        if not policy.trusted and not Path(policy.releases).is_absolute():
            raise UsageError(
                f"privacy-releases={policy.releases!r} would be another file in another working folder; give "
                f"its whole path"
            )
        return policy

    def check_unprotected(self) -> None:
        """Refuse to send anything without noise.

        Raises:
            UsageError: Unless the server is trusted.
        """
        if not self.trusted:
            raise UsageError("this node sends nothing without privacy noise")

    def admit(self, privacy: PrivacySettings, looks: int) -> None:
        """Count a release before it is made, or refuse it.

        Args:
            privacy: The noise that the server asks for.
            looks: Networks that the data will be shown to.

        Raises:
            UsageError: Naming the rule that it breaks.
        """
        if self.trusted:
            return
        if privacy.noise < self.min_noise:
            raise UsageError(f"this node adds noise of at least {self.min_noise:g}, not {privacy.noise:g}")
        if privacy.counts == "public" and not self.public_counts:
            raise UsageError("this node does not send exact counts of its classes")
        if privacy.counts == "noised" and privacy.count_noise < self.min_count_noise:
            raise UsageError(
                f"this node adds noise of at least {self.min_count_noise:g} to counts, not "
                f"{privacy.count_noise:g}"
            )
        path = Path(self.releases)
        with locked(path):
            before = _read(path)
            if len(before) >= self.max_releases:
                raise UsageError(f"this node has sent the {self.max_releases} sets that it sends in all")
            made = (*before, Release(privacy=privacy, looks=looks))
            self._check_epsilon(made)
            write_file(path, to_json([each.model_dump(mode="json") for each in made]))

    def _check_epsilon(self, made: tuple[Release, ...]) -> None:
        from attar_federated.privacy import total_epsilon

        found = total_epsilon([(each.privacy, each.looks) for each in made], self.delta)
        if found > self.max_epsilon:
            raise UsageError(
                f"ε of all that this node sends would be {found:.2f} at δ = {self.delta:g}, more than "
                f"{self.max_epsilon:g}"
            )


def _read(path: Path) -> tuple[Release, ...]:
    """Return what a node has sent.

    Raises:
        UsageError: If the file is damaged: nothing is sent then.
    """
    if not path.exists():
        return ()
    try:
        return tuple(Release.model_validate(each) for each in _LIST.validate_python(read_json(path)))
    except (UsageError, ValidationError) as error:
        raise UsageError("this node cannot read the file that counts what it sends") from error
