"""Small files that ask for much are refused before anything is allocated."""

import numpy as np
import pytest
from attar.errors import UsageError
from attar.limits import check_columns, check_unpacked, first_line, read_limited
from attar.npz import read_npz
from attar.parquet import open_parquet, read_table
from attar.recipe import read_recipe

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def test_a_quarter_of_a_gigabyte_is_always_permitted():
    check_unpacked(2**28, 1, "it")
    check_unpacked(2**30, 2**22, "it")
    with pytest.raises(UsageError, match="it takes 1,000 bytes and unpacks to 1,000,000,000"):
        check_unpacked(10**9, 1000, "it")


def test_columns_and_lines_have_a_limit(tmp_path):
    with pytest.raises(UsageError, match="has 65,537 columns"):
        check_columns(2**16 + 1, "it")
    (tmp_path / "long.csv").write_text("x" * (2**24 + 2))
    with pytest.raises(UsageError, match=r"line 1 of .* is longer than 16,777,216 characters"):
        first_line(tmp_path / "long.csv")


def test_what_unpacks_to_more_than_256_times_its_size_is_refused():
    check_unpacked(2**28, 1, "'x'")
    check_unpacked(256 * 10**7, 10**7, "'x'")
    with pytest.raises(UsageError, match="unpacks to 268,435,457"):
        check_unpacked(2**28 + 1, 1, "'x'")
    with pytest.raises(UsageError, match="unpacks to 2,560,000,001"):
        check_unpacked(256 * 10**7 + 1, 10**7, "'x'")


@pytest.mark.parametrize("kind", [pa.binary(), pa.string()], ids=str)
def test_a_value_stored_once_and_meant_often_is_refused(tmp_path, kind):
    value = pa.array([b"a" * 50_000_000]).cast(kind)
    often = pa.DictionaryArray.from_arrays(pa.array(np.zeros(200, "i4")), value)
    pq.write_table(pa.table({"x": often}), tmp_path / "x.parquet", compression="zstd")
    with pytest.raises(UsageError, match="unpacks to 3"):
        read_table(tmp_path / "x.parquet")


def test_rows_without_bytes_are_refused(tmp_path):
    pq.write_table(pa.table({"x": pa.array(np.zeros(40_000_000, "i1"))}), tmp_path / "x.parquet")
    with pytest.raises(UsageError, match="unpacks to 320,000,000"):
        open_parquet(tmp_path / "x.parquet")


def test_a_table_is_read_as_it_is(tmp_path):
    table = pa.table({"x": np.arange(20_000), "y": list("ab") * 10_000}, metadata={"a": "b"})
    pq.write_table(table, tmp_path / "x.parquet")
    assert read_table(tmp_path / "x.parquet").equals(table)
    assert read_table(tmp_path / "x.parquet", ["y"]).column_names == ["y"]


def test_arrays_that_are_not_asked_for_stay_packed(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", a=np.arange(3), b=np.zeros(300_000_000, np.uint8))
    found = read_npz(tmp_path / "x.npz", "savez", ["a"])
    assert (found["a"].tolist(), found["b"].size) == ([0, 1, 2], 0)
    with pytest.raises(UsageError, match="unpacks to 300,"):
        read_npz(tmp_path / "x.npz", "savez")


@pytest.mark.parametrize("content", ["a = " + "[" * 100_000, "a = " + "9" * 5000, "a = 1\na = 2"])
def test_toml_that_python_does_not_take_is_one_sentence(tmp_path, content):
    (tmp_path / "x.toml").write_text(content)
    with pytest.raises(UsageError, match="is no valid TOML"):
        read_recipe(tmp_path / "x.toml")


def test_a_large_recipe_and_a_device_are_refused(tmp_path):
    (tmp_path / "x.toml").write_text("#" * (2**20 + 1))
    with pytest.raises(UsageError, match="more than the 1,048,576 allowed"):
        read_recipe(tmp_path / "x.toml")
    (tmp_path / "zero").symlink_to("/dev/zero")
    with pytest.raises(UsageError, match="it is no file"):
        read_limited(tmp_path / "zero", 100)
