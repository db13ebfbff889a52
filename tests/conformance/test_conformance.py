"""Every plugin that is installed keeps the laws of its seam.

What is installed is listed by the registry, so that a new plugin adds its own rows; a modality
adds a line to the table of data, unless it names ``conformance_data`` itself.
"""

from dataclasses import replace

from attar.registry import Registry
from attar.testing import Check, DataTable, ModalityData, checks_for_installed, parametrize_with_checks

REGISTRY = Registry()


def _nodes(batch):
    graph = batch.inputs.graph
    return [tuple(graph.features[row].tolist()) for row in batch.inputs.index]


def _other_test(task):
    return replace(task, test=replace(task.test, labels=task.test.labels.flip(0)))


DATA: DataTable = {
    "tensor": ("digits", "iris"),
    "image": ("digits",),
    "audio": ("tones",),
    "text": ("notes",),
    "graph": (
        ModalityData(data="karate", without_test=_other_test, row_keys=_nodes),
        ModalityData(data="karate", options={"neighbors": [3, 2]}, without_test=_other_test, row_keys=_nodes),
    ),
}

CLAIMS: dict[str, frozenset[str]] = {
    "datm": frozenset(),
    "dd": frozenset({"order_free"}),
    "mtt": frozenset(),
    "rat-bptt": frozenset({"order_free"}),
    "rtp": frozenset({"order_free"}),
    "tesla": frozenset(),
    "sfgc": frozenset({"order_free"}),
    "sre2l": frozenset(),
    "cafe": frozenset({"order_free"}),
    "datadam": frozenset({"zero_at_real", "order_free", "by_class"}),
    "idm": frozenset({"order_free", "by_class"}),
    "m3d": frozenset({"zero_at_real", "order_free", "by_class"}),
    "wasserstein": frozenset({"zero_at_real", "order_free", "by_class"}),
    "ncfm": frozenset({"order_free", "by_class"}),
    "dc": frozenset({"zero_at_real", "order_free", "by_class"}),
    "dm": frozenset({"zero_at_real", "order_free", "by_class"}),
    "dsa": frozenset({"zero_at_real", "order_free", "by_class"}),
    "doscond": frozenset({"zero_at_real", "order_free", "by_class"}),
    "doscond-x": frozenset({"zero_at_real", "order_free", "by_class"}),
    "frepo": frozenset({"order_free"}),
    "frepo-gnn": frozenset({"order_free"}),
    "gc-sntk": frozenset({"order_free"}),
    "gcdm": frozenset({"zero_at_real", "order_free", "by_class"}),
    "gcdm-x": frozenset({"zero_at_real", "order_free", "by_class"}),
    "gcond": frozenset({"zero_at_real", "order_free", "by_class"}),
    "gcond-x": frozenset({"zero_at_real", "order_free", "by_class"}),
    "idc": frozenset({"zero_at_real", "order_free", "by_class"}),
    "kip": frozenset({"order_free"}),
    "rfad": frozenset({"order_free"}),
    "one-step": frozenset({"zero_at_real", "order_free", "by_class"}),
}
"""What each method claims; a claim that is dropped stops being checked, so it fails here."""


class TestConformance:
    @parametrize_with_checks(checks_for_installed(data=DATA, registry=REGISTRY))
    def test_law(self, check: Check) -> None:
        check.run()


class TestClaims:
    def test_every_method_has_a_row(self) -> None:
        assert set(CLAIMS) == set(REGISTRY.names("objectives"))

    def test_claims_are_those_listed(self) -> None:
        methods = {name: REGISTRY.get("objectives", name) for name in REGISTRY.names("objectives")}
        built = {name: method.build(method.Settings()) for name, method in methods.items()}
        assert {name: objective.loss.claims for name, objective in built.items()} == CLAIMS
