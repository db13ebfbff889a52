import pytest
from attar.errors import UsageError
from attar_continual.budget import Budget
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("10/class", Budget(per_class=10)),
        (" 1 / class", Budget(per_class=1)),
        ("100", Budget(total=100)),
        ("78KB", Budget(bytes=78_000)),
        ("1.5 KiB", Budget(bytes=1536)),
    ],
)
def test_a_text_says_how_large_a_memory_is(text, budget):
    assert Budget.of(text) == budget


@pytest.mark.parametrize("text", ["", "0", "0/class", "-3", "ten", "10/task", "0KB", "5 apples", "1e3"])
def test_a_text_that_says_nothing_is_refused(text):
    with pytest.raises(UsageError, match=r"write it as|is no number of bytes"):
        Budget.of(text)


@given(st.integers(1, 500), st.integers(1, 50))
def test_classes_share_a_total_evenly_and_use_all_of_it(total, classes):
    if total < classes:
        with pytest.raises(UsageError, match="cannot hold one of each of"):
            Budget(total=total).samples(classes)
        return
    shares = Budget(total=total).samples(classes)
    assert sum(shares) == total
    assert max(shares) - min(shares) <= 1


@given(
    st.one_of(st.builds(Budget, per_class=st.integers(1, 99)), st.builds(Budget, total=st.integers(1, 99)))
)
def test_a_budget_is_written_as_it_is_read(budget):
    assert Budget.of(str(budget)) == budget


def test_exactly_one_bound_is_given():
    with pytest.raises(ValueError, match="give one of"):
        Budget(per_class=1, total=2)


@pytest.mark.parametrize("text", ["1B", "2B"])
def test_bytes_that_hold_no_sample_at_all_are_refused_when_they_are_read(text):
    with pytest.raises(UsageError, match=f"a memory of {text} holds no sample"):
        Budget.of(text)
