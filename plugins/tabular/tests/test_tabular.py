"""The kit's laws, and what is particular to tables."""

import attar
import numpy as np
import pandas
import pytest
import torch
from attar.errors import UsageError
from attar.testing import ModalityData, parametrize_with_checks
from attar_tabular import TABULAR, encoded


@parametrize_with_checks([("modalities", "tabular")])
def test_conformance(check):
    check.run()


@pytest.fixture
def frame():
    gen = np.random.default_rng(0)
    rich = gen.integers(0, 2, 60)
    return pandas.DataFrame(
        {
            "age": np.where(gen.random(60) < 0.1, np.nan, 30 + 20 * rich + gen.normal(0, 3, 60)),
            "work": np.where(gen.random(60) < 0.1, None, np.where(rich, "law", "farm")),
            "member": rich == 0,
            "income": np.where(rich, "high", "low"),
        }
    )


@pytest.fixture(params=["csv", "parquet"])
def path(request, frame, tmp_path):
    place = tmp_path / f"people.{request.param}"
    frame.to_csv(place, index=False) if request.param == "csv" else frame.to_parquet(place)
    return place


def test_a_file_is_read_with_numbers_and_categories(path):
    task = attar.task("tabular", data=path)
    assert (task.name, task.classes, task.feature) == ("people", ("high", "low"), (5,))
    names = [each["name"] for each in task.about["columns"]]
    assert names == ["age", "work", "member"]
    assert task.about["columns"][1]["values"] == ["farm", "law"]
    # A number of four bytes, two categories of one, and the class.
    assert task.raw_bytes(torch.arange(10)) == 10 * (4 + 1 + 1 + 1)


def test_what_is_missing_or_new_is_none_of_the_categories_and_the_median_of_numbers():
    columns = [{"name": "age", "fill": 40.0}, {"name": "work", "values": ["farm", "law"]}]
    rows = pandas.DataFrame({"work": ["law", None, "sea"], "age": [None, 20, 30], "more": 1})
    np.testing.assert_array_equal(encoded(rows, columns), [[40, 0, 1], [20, 0, 0], [30, 0, 0]])


def test_columns_are_known_from_training_rows_alone(frame):
    frame.loc[0, "work"] = "sea"
    for seed in range(20):
        task = attar.task("tabular", data=frame, split_seed=seed)
        known = task.about["columns"][1]["values"]
        raw = task.preprocess.decode(task.view(torch.arange(task.size("train"))).inputs)
        assert ("sea" in known) == (len(known) == 3)
        assert raw.shape[1] == 1 + len(known) + 2
        if "sea" in known:
            assert float(raw[:, 1 + known.index("sea")].round().sum()) == 1


def test_new_rows_are_prepared_by_a_set_alone(frame, tmp_path):
    task = attar.task("tabular", data=frame)
    attar.distill(task, ipc=1, steps=2, per_class=8).save(tmp_path / "set")
    artifact = attar.load(tmp_path / "set")
    prepared = artifact.preprocess(frame)
    assert prepared.shape == (60, 5)
    assert bool(torch.isfinite(prepared).all())
    with pytest.raises(UsageError, match="has no column 'age'"):
        artifact.preprocess(frame.drop(columns="age"))


def test_samples_are_told_in_words(frame):
    task = attar.task("tabular", data=frame)
    artifact = attar.distill(task, method="herding", ipc=1)
    told = TABULAR.described(artifact.syn.decode(), artifact.manifest.data.info)
    assert len(told) == 2
    assert all("age " in each and ("work law" in each or "work farm" in each) for each in told)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda frame: frame.assign(income=None), "no sample of .* has a label"),
        (lambda frame: frame.assign(income=[None, *frame.income[1:]]), "has no label in row 0"),
        (lambda frame: frame[["income"]], "another column beside the classes"),
        (lambda frame: frame.assign(age=np.inf), "NaN or infinite"),
    ],
)
def test_tables_that_cannot_be_learned_from_are_refused(frame, change, said):
    with pytest.raises(UsageError, match=said):
        attar.task("tabular", data=change(frame))


def test_mistakes_are_named(frame, tmp_path):
    with pytest.raises(UsageError, match=r"unknown column 'incme'.*income"):
        attar.task("tabular", data=frame, target="incme")
    with pytest.raises(UsageError, match="there is no table"):
        attar.task("tabular", data=tmp_path / "none.csv")
    (tmp_path / "bad.parquet").write_bytes(b"no table")
    with pytest.raises(UsageError, match="cannot be read as Parquet"):
        attar.task("tabular", data=tmp_path / "bad.parquet")


def test_it_is_tested_with_categories_too(path, tmp_path):
    from attar.testing import checks_for_modality

    for check in checks_for_modality(TABULAR, ModalityData(data=str(path)), name="tabular"):
        check.run()
