"""Figures from their definitions."""

import pytest
from attar_continual.results import JobResult, summarized
from attar_continual.running import accuracies
from hypothesis import given
from hypothesis import strategies as st


def job(test, counts, **more):
    return JobResult(method="naive", seed=0, test=test, counts=counts, **more)


MATRIX = ((90.0, 0.0, 0.0), (60.0, 80.0, 0.0), (30.0, 85.0, 70.0))


def test_accuracy_counts_the_tests_of_what_was_learned_by_their_samples():
    found = job(MATRIX, (10, 20, 10))
    assert found.curve == (90.0, (10 * 60 + 20 * 80) / 30, (10 * 30 + 20 * 85 + 10 * 70) / 40)
    assert found.final == found.curve[-1]
    assert found.average == pytest.approx(sum(found.curve) / 3)


def test_forgetting_is_the_fall_from_the_best_of_all_but_the_last():
    assert job(MATRIX, (10, 20, 10)).forgetting == ((90 - 30) + (80 - 85)) / 2


def test_one_test_for_all_is_what_is_forgotten():
    found = job(((40.0,), (70.0,), (65.0,)), (30,))
    assert found.curve == (40.0, 70.0, 65.0)
    assert (found.final, found.forgetting) == (65.0, 5.0)


def test_one_experience_forgets_nothing():
    assert job(((80.0,),), (5,)).forgetting == 0.0


@given(
    st.integers(1, 6).flatmap(
        lambda n: st.tuples(
            st.lists(st.lists(st.floats(0, 100), min_size=n, max_size=n), min_size=n, max_size=n),
            st.lists(st.integers(1, 50), min_size=n, max_size=n),
        )
    )
)
def test_accuracies_lie_between_those_they_are_of(drawn):
    matrix, counts = drawn
    found = job(tuple(map(tuple, matrix)), tuple(counts))
    assert min(matrix[-1]) - 1e-9 <= found.final <= max(matrix[-1]) + 1e-9
    assert -100 <= found.forgetting <= 100
    assert min(found.curve) <= found.average + 1e-9


def test_streams_are_summarized_with_mean_and_population_deviation():
    jobs = [
        job(
            ((50.0,),),
            (10,),
            validation=((40.0,),),
            held=(5,),
            memory=(7,),
            bytes=(70,),
            cpu=2.0,
            distilling=1.0,
        ),
        job(
            ((70.0,),),
            (10,),
            validation=((60.0,),),
            held=(5,),
            memory=(7,),
            bytes=(70,),
            cpu=4.0,
            distilling=2.0,
        ),
    ]
    found = summarized(jobs)
    assert (found.final.mean, found.final.std, found.final.n) == (60.0, 10.0, 2)
    assert found.validation.mean == 50.0
    assert (found.memory, found.bytes, found.cpu, found.distilling) == (7, 70, 3.0, 0.5)


def test_accuracies_are_found_with_and_without_task_labels():
    said = {
        "Top1_Acc_Exp/eval_phase/test_stream/Task000/Exp000": 0.5,
        "Top1_Acc_Exp/eval_phase/test_stream/Exp001": 0.25,
        "Top1_Acc_Exp/eval_phase/validation_stream/Exp000": 0.9,
        "Top1_Acc_Stream/eval_phase/test_stream/Task000": 0.4,
    }
    assert accuracies(said, "test_stream", 2) == (50.0, 25.0)
    with pytest.raises(RuntimeError, match="gave no accuracy for some of the 3 tests"):
        accuracies(said, "test_stream", 3)
