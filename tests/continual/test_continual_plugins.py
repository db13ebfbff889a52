"""Replay and GDumb on distilled samples: order of hooks, labels, checkpoints, what is refused."""

import warnings
from dataclasses import replace
from types import SimpleNamespace

import attar
import pytest
import torch
from attar.errors import UsageError
from attar.registry import Registry
from attar.rng import derive
from attar.training import accuracy
from attar_continual import DistilledBuffer, DistilledGDumb, DistilledReplay, InContext, class_stream
from attar_continual.distiller import Distiller
from attar_continual.given import task_of
from avalanche.benchmarks import benchmark_from_datasets, nc_benchmark
from avalanche.benchmarks.utils import DataAttribute
from avalanche.benchmarks.utils.classification_dataset import ClassificationDataset
from avalanche.checkpointing import maybe_load_checkpoint, save_checkpoint
from avalanche.models import as_multitask
from avalanche.training.plugins import ReplayPlugin
from torch import nn
from torch.nn import functional


class Items(torch.utils.data.Dataset):
    """What a user of Avalanche has: samples with targets."""

    def __init__(self, inputs, labels):
        self.inputs, self.targets = inputs, labels.tolist()

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, place):
        return self.inputs[place], self.targets[place]


def given(inputs, labels):
    return ClassificationDataset(
        [Items(inputs, labels)], data_attributes=[DataAttribute(labels.tolist(), "targets")]
    )


@pytest.fixture(scope="module")
def plain(task):
    """A stream without task labels and without a task of ours."""
    batch = task.view(torch.arange(task.size("train")))
    parts = [given(batch.inputs[rows], batch.labels[rows]) for rows in class_stream(task, 3).train]
    return benchmark_from_datasets(train=parts, test=[given(batch.inputs, batch.labels)])


@pytest.fixture(scope="module")
def made(stream):
    return stream.benchmark()


@pytest.fixture(scope="module")
def nodes():
    """A ring of nodes, four classes after one another."""
    modality = pytest.importorskip("attar_graph.modality")
    raw = pytest.importorskip("attar_graph.raw")
    labels = torch.arange(40) % 4
    ring = torch.stack([torch.arange(40), torch.arange(1, 41) % 40])
    features = torch.randn(40, 3, generator=derive(0, "nodes")) + 2 * functional.one_hot(labels, 4)[:, :3]
    places = torch.arange(40)
    splits = {"train": places[:24], "validation": places[24:32], "test": places[32:]}
    given = raw.RawGraph(
        name="ring", features=features, edges=ring, labels=labels, classes=("a", "b", "c", "d"), splits=splits
    )
    return modality.make_task(given, modality.GraphOptions(), Registry())


def held(plugin):
    return torch.bincount(plugin.learner.memory.union().labels, minlength=6).tolist()


class TestHooks:
    def fake(self, plugin, logits, loss, new=4):
        return SimpleNamespace(
            model=lambda inputs: logits[: len(inputs)],
            device=torch.device("cpu"),
            train_mb_size=4,
            mb_y=torch.zeros(new, dtype=torch.int64),
            loss=torch.tensor(loss),
            clock=SimpleNamespace(train_iterations=5),
        )

    def test_nothing_is_added_before_the_first_experience(self, quick):
        strategy = self.fake(plugin := DistilledReplay("2/class", **quick), torch.zeros(4, 6), 3.0)
        plugin.before_backward(strategy)
        assert float(strategy.loss) == 3.0

    def test_the_loss_is_a_weighted_sum_of_that_on_new_samples_and_on_the_memory(self, quick, made):
        plugin = DistilledReplay("2/class", ratio=0.25, **quick)
        plugin.learner.learn(made.train_stream[0])
        logits = torch.randn(4, 6, generator=derive(1))
        strategy = self.fake(plugin, logits, 3.0)
        plugin.before_backward(strategy)
        rows = torch.randperm(4, generator=derive(0, "replay", 5))
        own = functional.cross_entropy(logits, plugin.learner.remembered().batch.labels[rows])
        torch.testing.assert_close(strategy.loss, 0.75 * torch.tensor(3.0) + 0.25 * own)

    def test_without_a_ratio_new_samples_and_memory_are_one_batch(self, quick, made):
        plugin = DistilledReplay("2/class", **quick)
        plugin.learner.learn(made.train_stream[0])
        logits = torch.randn(4, 6, generator=derive(1))
        strategy = self.fake(plugin, logits, 3.0, new=12)
        plugin.before_backward(strategy)
        rows = torch.randperm(4, generator=derive(0, "replay", 5))
        own = functional.cross_entropy(logits, plugin.learner.remembered().batch.labels[rows])
        torch.testing.assert_close(strategy.loss, (12 * torch.tensor(3.0) + 4 * own) / 16)

    def test_an_experience_is_distilled_after_it_was_learned(self, quick, made, strategy, learn):
        seen = []

        class Noted(DistilledReplay):
            def before_backward(self, strategy, **kwargs):
                seen.append(len(self.learner.memory))
                super().before_backward(strategy, **kwargs)

            def after_training_exp(self, strategy, **kwargs):
                super().after_training_exp(strategy, **kwargs)
                seen.append("distilled")

        learn(strategy(Noted("2/class", **quick)), made.train_stream[:2])
        first = seen.index("distilled")
        assert set(seen[:first]) == {0}
        assert set(seen[first + 1 : -1]) == {4}
        assert seen[-1] == "distilled"

    def test_gdumb_learns_the_memory_with_the_experience_in_it(self, quick, made, strategy, learn):
        sizes = []

        class Noted(DistilledGDumb):
            def before_training_iteration(self, strategy, **kwargs):
                sizes.append((len(strategy.adapted_dataset), len(strategy.mb_y)))

        learn(strategy(Noted("2/class", **quick), batch=64), made.train_stream)
        assert sizes == [(4, 4), (8, 8), (12, 12)]


class TestMemory:
    def test_each_class_seen_has_its_samples(self, quick, made, strategy, learn):
        plugin = DistilledReplay("2/class", **quick)
        learn(strategy(plugin), made.train_stream[:2])
        assert sorted(held(plugin)) == [0, 0, 2, 2, 2, 2]
        assert plugin.learner.memory.classes == tuple(range(4))

    def test_streams_that_know_nothing_of_us_are_distilled_alike(self, quick, made, plain, strategy, learn):
        ours, theirs = (DistilledReplay("2/class", **quick) for _ in range(2))
        learn(strategy(ours), made.train_stream)
        learn(strategy(theirs), plain.train_stream)
        mine, other = ours.learner.remembered(), theirs.learner.remembered()
        assert torch.equal(mine.batch.labels, other.batch.labels)
        torch.testing.assert_close(mine.batch.inputs, other.batch.inputs)

    def test_replay_keeps_what_would_be_forgotten(self, strategy, learn):
        digits = attar.task("tensor", data="digits")

        def final(*plugins):
            network = digits.build("mlp,width=32,depth=1", derive(0, "network"))
            learn(strategy(*plugins, model=network), class_stream(digits, 5).benchmark().train_stream)
            return accuracy(network, digits, "test")

        assert final(DistilledReplay("10/class", "herding")) > final() + 20

    @pytest.mark.parametrize("method", ["herding", "random", "dm"])
    def test_the_memory_is_saved_and_a_stream_starts_from_it(
        self, method, made, strategy, learn, tmp_path, quick
    ):
        settings = quick if method == "dm" else {}
        plugin = DistilledReplay("2/class", method, **settings)
        learn(strategy(plugin), made.train_stream[:2])
        plugin.learner.save(tmp_path / "memory")
        found = attar.load(tmp_path / "memory")
        assert found.manifest.kind == ("distilled" if method == "dm" else "selected")
        assert sum(found.manifest.data.counts) == sum(len(each.dataset) for each in made.train_stream[:2])
        again = DistilledReplay("2/class", method, start=found, **settings)
        learn(strategy(again), made.train_stream[2:])
        assert held(again) == [2] * 6

    def test_an_experience_of_one_class_is_distilled(self, task, quick, strategy, learn):
        plugin = DistilledReplay("2/class", **quick)
        learn(strategy(plugin), class_stream(task, 6).benchmark().train_stream[:2])
        assert held(plugin) == [2, 2, 0, 0, 0, 0]

    def test_values_are_stored_in_the_type_that_is_asked_for(self, made, quick, strategy, learn):
        half, whole = (DistilledReplay("2/class", dtype=dtype, **quick) for dtype in ("float16", "float32"))
        for plugin in (half, whole):
            learn(strategy(plugin), made.train_stream[:1])
        # Four samples of six values, and their labels of a byte.
        assert [plugin.learner.memory.nbytes for plugin in (half, whole)] == [4 * 6 * 2 + 4, 4 * 6 * 4 + 4]
        with pytest.raises(UsageError, match="dtype"):
            DistilledReplay("2/class", dtype="float8", **quick).learner.learn(made.train_stream[0])

    def test_bytes_for_no_sample_of_each_class_are_refused_before_training(self, made, quick, strategy):
        plugin = DistilledReplay("20B", **quick)
        learner = strategy(plugin)
        before = [each.detach().clone() for each in learner.model.parameters()]
        with pytest.raises(
            UsageError, match="20 bytes cannot hold one sample of each of 2 classes, which take"
        ):
            learner.train(made.train_stream[0], eval_streams=[], num_workers=0)
        assert all(map(torch.equal, before, learner.model.parameters()))

    def test_a_class_with_fewer_samples_than_asked_for_keeps_those(self, task, quick, strategy, learn):
        few = task.subset(torch.cat([(task.labels == label).nonzero()[: 1 + label, 0] for label in range(6)]))
        plugin = DistilledReplay("3/class", **quick)
        learn(strategy(plugin), class_stream(few, 2).benchmark().train_stream)
        assert held(plugin) == [1, 2, 3, 3, 3, 3]


class TestLabels:
    def test_soft_labels_are_what_the_network_said_and_reach_the_loss(
        self, task, made, strategy, learn, quick
    ):
        plugin = DistilledReplay("2/class", labels="soft", temperature=2.0, **quick)
        learned = learn(strategy(plugin), made.train_stream[:1])
        known = plugin.learner.remembered()
        with torch.no_grad():
            said = (learned.model(known.batch.inputs) / 2.0).softmax(1)
        torch.testing.assert_close(known.batch.targets, said, atol=1e-5, rtol=1e-4)
        logits = torch.randn(4, 6, generator=derive(1))
        fake = TestHooks().fake(plugin, logits, 0.0)
        plugin.before_backward(fake)
        rows = torch.randperm(4, generator=derive(0, "replay", 5))
        expected = -(said[rows] * logits.log_softmax(1)).sum(1).mean()
        torch.testing.assert_close(fake.loss, 0.5 * expected, atol=1e-5, rtol=1e-4)

    @pytest.mark.parametrize("kind", [DistilledReplay, DistilledGDumb])
    def test_learned_labels_reach_the_loss(self, kind, made, strategy, learn):
        losses = []

        class Noted(kind):
            def before_backward(self, strategy, **kwargs):
                before = float(strategy.loss.detach())
                super().before_backward(strategy, **kwargs)
                losses.append((before, float(strategy.loss.detach())))

        settings = {"steps": 3, "per_class": 8, "model": "mlp,width=8,depth=1"}
        plugin = Noted("2/class", "frepo", labels="learned", **settings)
        learn(strategy(plugin), made.train_stream)
        assert plugin.learner.remembered().kind == "regression"
        assert any(before != after for before, after in losses)

    def test_gdumb_trains_on_learned_values_by_squared_error(self, made, strategy):
        plugin = DistilledGDumb("2/class", "frepo", labels="learned", steps=2, model="mlp,width=8,depth=1")
        plugin.learner.learn(made.train_stream[0])
        known = plugin.learner.remembered()
        rows = torch.tensor([3, 1])
        logits = torch.randn(2, 6, generator=derive(2))
        fake = SimpleNamespace(mbatch=[None, None, rows, None], mb_output=logits, device="cpu", loss=None)
        plugin.before_backward(fake)
        torch.testing.assert_close(fake.loss, functional.mse_loss(logits, known.batch.targets[rows]))

    def test_a_network_that_grows_is_taught_by_labels_as_wide(self, plain, quick):
        plugin = DistilledReplay("2/class", labels="soft", **quick)
        narrow = nn.Linear(6, 2)
        plugin.learner.learn(plain.train_stream[0], narrow)
        assert plugin.learner.remembered().batch.targets.shape == (4, 2)
        fake = TestHooks().fake(plugin, torch.zeros(4, 6), 0.0)
        plugin.before_backward(fake)
        assert float(fake.loss) == pytest.approx(0.5 * torch.tensor(6.0).log().item(), abs=1e-5)


class TestWithAvalanche:
    def test_task_labels_reach_networks_that_take_them(self, task, quick, strategy, learn):
        made = class_stream(task, 3, task_labels=True).benchmark()
        model = as_multitask(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 6)), "2")
        plugin = DistilledReplay("2/class", **quick)
        learn(strategy(plugin, model=model), made.train_stream)
        told = plugin.learner.remembered()
        assert {label: set(told.tasks[told.batch.labels == label].tolist()) for label in range(6)} == {
            label: {label // 2} for label in range(6)
        }

    def test_benchmarks_of_new_classes_are_taken_as_they_are(self, task, quick, strategy, learn):
        batch = task.view(torch.arange(task.size("train")))
        items = Items(batch.inputs, batch.labels)
        made = nc_benchmark(items, items, n_experiences=3, task_labels=False, seed=1)
        assert len(task_of(made.train_stream[0]).classes) == 6
        plugin = DistilledReplay("2/class", **quick)
        learn(strategy(plugin), made.train_stream)
        assert held(plugin) == [2] * 6

    def test_a_buffer_serves_replay_and_warns_of_nothing(self, made, strategy, learn, quick):
        buffer = DistilledBuffer(12, **quick)
        learn(strategy(ReplayPlugin(12, storage_policy=buffer)), made.train_stream)
        assert len(buffer.buffer) == 12
        assert sorted(buffer.buffer.targets) == sorted(list(range(6)) * 2)
        assert len(buffer.buffer[0]) == 3
        buffer.resize(SimpleNamespace(model=None), 6)
        assert len(buffer.buffer) == 6

    @pytest.mark.parametrize(
        "make",
        [
            lambda: DistilledReplay("2/class", "gcdm-x", steps=2),
            lambda: DistilledReplay("2/class", "herding", labels="soft"),
            lambda: DistilledGDumb("2/class", "gcdm-x", steps=2),
            lambda: ReplayPlugin(8, storage_policy=DistilledBuffer(8, "gcdm-x", steps=2)),
        ],
    )
    def test_nodes_of_a_graph_are_replayed(self, make, nodes, strategy, learn):
        model = InContext(nodes.build("sgc", derive(0)), nodes)
        made = class_stream(nodes, 2).benchmark()
        learn(strategy(make(), model=model), made.train_stream)

    @pytest.mark.parametrize("labels", ["hard", "soft"])
    def test_resuming_after_each_experience_ends_as_without(
        self, labels, made, strategy, learn, quick, tmp_path
    ):
        settings = {**quick, "labels": labels}
        whole = learn(strategy(DistilledReplay("2/class", **settings)), made.train_stream)
        path = str(tmp_path / "checkpoint")
        for number in range(3):
            fresh = strategy(DistilledReplay("2/class", **settings))
            resumed, done = maybe_load_checkpoint(fresh, path)
            assert done == number
            learn(resumed, made.train_stream[done : done + 1])
            save_checkpoint(resumed, path)
        for mine, theirs in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
            assert torch.equal(mine, theirs)
        found = [each.learner.remembered() for each in (whole.plugins[0], resumed.plugins[0])]
        assert torch.equal(found[0].batch.inputs, found[1].batch.inputs)

    def test_gdumb_resumes_likewise(self, made, strategy, learn, quick, tmp_path):
        whole = learn(strategy(DistilledGDumb("2/class", **quick), epochs=2), made.train_stream)
        part = learn(strategy(DistilledGDumb("2/class", **quick), epochs=2), made.train_stream[:1])
        save_checkpoint(part, str(tmp_path / "checkpoint"))
        fresh = strategy(DistilledGDumb("2/class", **quick), epochs=2)
        resumed, _ = maybe_load_checkpoint(fresh, str(tmp_path / "checkpoint"))
        learn(resumed, made.train_stream[1:])
        for mine, theirs in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
            assert torch.equal(mine, theirs)


class TestRefusals:
    def test_a_memory_smaller_than_the_classes(self, made, quick):
        plugin = DistilledReplay("3", **quick)
        plugin.learner.learn(made.train_stream[0])
        with pytest.raises(UsageError, match="a memory of 3 samples cannot hold one of each of 4 classes"):
            plugin.learner.learn(made.train_stream[1])

    def test_a_memory_of_too_few_bytes(self, made, quick):
        with pytest.raises(UsageError, match=r"cannot hold one"):
            DistilledReplay("20B", **quick).learner.learn(made.train_stream[0])

    def test_an_unknown_method(self):
        with pytest.raises(UsageError, match=r"unknown method 'dmm'.*dm"):
            DistilledReplay("2/class", "dmm")

    def test_an_unknown_setting(self, made):
        with pytest.raises(UsageError, match="stepz"):
            DistilledReplay("2/class", stepz=3).learner.learn(made.train_stream[0])

    @pytest.mark.parametrize(
        ("settings", "said"),
        [
            ({"labels": "fuzzy"}, "unknown labels 'fuzzy'"),
            ({"ratio": 0.0}, "ratio=0 is no share"),
            ({"ratio": 1.0}, "ratio=1 is no share"),
            ({"batch": 0}, "batch=0 takes no samples"),
            ({"temperature": 0.0}, "temperature=0 makes no probabilities"),
            ({"memory": "much"}, "the memory 'much' is not understood"),
            ({"method": "herding", "labels": "learned"}, "whose labels are not learned"),
        ],
    )
    def test_settings_that_make_no_sense(self, settings, said):
        with pytest.raises(UsageError, match=said):
            DistilledReplay(**settings)

    def test_labels_that_a_method_cannot_learn(self):
        with pytest.raises(UsageError, match="does not go with labels=learned"):
            Distiller("dm", labels="learned").objective()

    def test_soft_labels_for_gdumb(self):
        with pytest.raises(UsageError, match="no network gives soft labels"):
            DistilledGDumb("2/class", labels="soft")

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"classes": ("a", "b", "c", "d", "e", "f")}, "the memory is of the classes a, b, c, d, e, …"),
            ({"preprocessing": {"kind": "standardize", "mean": (9.0,)}}, "made with another preprocessing"),
        ],
    )
    def test_a_memory_of_other_data_to_start_from(self, change, said, made, quick):
        first = DistilledReplay("2/class", "herding")
        first.learner.learn(made.train_stream[0])
        found = first.learner.artifact()
        data = found.manifest.data.model_copy(update=change)
        other = replace(found, manifest=found.manifest.model_copy(update={"data": data}))
        plugin = DistilledReplay("2/class", "herding", start=other)
        with pytest.raises(UsageError, match=said):
            plugin.learner.learn(made.train_stream[1])

    def test_an_experience_without_samples(self, quick):
        empty = given(torch.zeros(0, 6), torch.zeros(0, dtype=torch.int64))
        made = benchmark_from_datasets(train=[empty], test=[empty])
        with pytest.raises(UsageError, match="experience 0 has no samples"):
            DistilledReplay("2/class", **quick).learner.learn(made.train_stream[0])

    def test_our_experience_without_samples(self, task, quick):
        made = class_stream(task, 3).benchmark()
        made.train_stream[0].attar_task = task.subset(torch.zeros(0, dtype=torch.int64))
        with pytest.raises(UsageError, match="experience 0 has no samples"):
            DistilledReplay("2/class", **quick).learner.learn(made.train_stream[0])

    def test_a_shape_that_changes_between_experiences(self, quick):
        labels = torch.arange(20) % 2
        parts = [given(torch.randn(20, 6), labels), given(torch.randn(20, 7), labels + 2)]
        made = benchmark_from_datasets(train=parts, test=parts)
        plugin = DistilledReplay("2/class", **quick)
        plugin.learner.learn(made.train_stream[0])
        with pytest.raises(UsageError, match=r"experience 1 have shape \(7,\), those before \(6,\)"):
            plugin.learner.learn(made.train_stream[1])

    def test_a_shape_that_changes_within_an_experience(self, quick):
        class Ragged(Items):
            def __getitem__(self, place):
                return torch.zeros(6 + place % 2), self.targets[place]

        labels = torch.arange(4) % 2
        data = ClassificationDataset(
            [Ragged(torch.zeros(4, 6), labels)], data_attributes=[DataAttribute(labels.tolist(), "targets")]
        )
        made = benchmark_from_datasets(train=[data], test=[data])
        with pytest.raises(UsageError, match="bring them to one shape"):
            DistilledReplay("2/class", **quick).learner.learn(made.train_stream[0])

    def test_samples_of_whole_numbers(self, quick):
        labels = torch.arange(4) % 2
        words = given(torch.zeros(4, 6, dtype=torch.int64), labels)
        made = benchmark_from_datasets(train=[words], test=[words])
        with pytest.raises(UsageError, match="holds int64, such as words by number"):
            DistilledReplay("2/class", **quick).learner.learn(made.train_stream[0])

    def test_samples_that_are_no_tensors(self, quick):
        class Words(Items):
            def __getitem__(self, place):
                return "word", self.targets[place]

        labels = torch.arange(4) % 2
        data = ClassificationDataset(
            [Words(torch.zeros(4, 6), labels)], data_attributes=[DataAttribute(labels.tolist(), "targets")]
        )
        made = benchmark_from_datasets(train=[data], test=[data])
        with pytest.raises(UsageError, match="is str, not a tensor"):
            DistilledReplay("2/class", **quick).learner.learn(made.train_stream[0])

    def test_numbered_samples_without_their_network(self, nodes, strategy, learn):
        plugin = DistilledGDumb("2/class", "herding")
        with pytest.raises(UsageError, match=r"wrap the network in attar_continual\.InContext"):
            learn(strategy(plugin, model=nn.Linear(3, 4)), class_stream(nodes, 2).benchmark().train_stream)

    def test_a_network_with_fewer_answers_than_labels(self, made, quick):
        plugin = DistilledReplay("2/class", labels="soft", **quick)
        plugin.learner.learn(made.train_stream[0], nn.Linear(6, 6))
        fake = TestHooks().fake(plugin, torch.zeros(4, 3), 0.0)
        with pytest.raises(UsageError, match="the network answers with 3"):
            plugin.before_backward(fake)

    def test_nothing_is_saved_before_the_first_experience(self, quick, tmp_path):
        with pytest.raises(UsageError, match="after its first experience"):
            DistilledReplay("2/class", **quick).learner.save(tmp_path / "memory")


def test_avalanche_s_deprecation_does_not_reach_users(made, strategy, learn, quick):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        learn(strategy(ReplayPlugin(12, storage_policy=DistilledBuffer(12, **quick))), made.train_stream)
        learn(strategy(DistilledGDumb("2/class", **quick)), made.train_stream)
        learn(strategy(DistilledReplay("2/class", **quick)), made.train_stream)
    assert [str(each.message) for each in said if "deprecated" in str(each.message)] == []
