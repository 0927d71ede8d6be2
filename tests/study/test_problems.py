import pytest

from hpaxis.problems import InputError, Problem, raise_if_any


def test_a_problem_is_one_line_with_file_row_value_and_remedy():
    problem = Problem("hair.tsv", "is below\n1", "give the mass in mg", 3, "mass_mg", "0.02")
    assert str(problem) == "hair.tsv, row 3, mass_mg: '0.02' is below 1; give the mass in mg"


def test_a_long_value_is_cut():
    assert len(str(Problem("a.tsv", "is odd", "correct it", value="x" * 5000))) < 300


def test_all_problems_are_in_the_error():
    problems = [Problem("a", "is bad", "correct it"), Problem("b", "is bad", "correct it")]
    with pytest.raises(InputError) as caught:
        raise_if_any(problems)
    assert str(caught.value).splitlines() == ["a: is bad; correct it", "b: is bad; correct it"]
    assert caught.value.problems == problems
    raise_if_any([])
