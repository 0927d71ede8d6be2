import math

import pytest

from hpaxis.report import numbers

NAN = math.nan


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(0.7, 2, "0.70"), (-0.366, 2, "−0.37"), (-0.001, 2, "0.00"), (NAN, 2, "–"), (None, 2, "–"), (1234.5, 0, "1234")],
)
def test_fixed(value, digits, text):
    assert numbers.fixed(value, digits) == text


def test_degrees_of_freedom_are_whole_or_have_one_decimal():
    assert [numbers.degrees(v) for v in (34.0, 5.325, float("nan"))] == ["34", "5.3", numbers.MISSING]


def test_infinite_numbers_have_a_sign():
    assert (numbers.fixed(math.inf), numbers.fixed(-math.inf)) == ("∞", "−∞")


@pytest.mark.parametrize(("value", "text"), [(0.17, ".17"), (-0.4, "−.40"), (1.0, "1.00"), (0.999, "1.00"), (NAN, "–")])
def test_bounded_drops_the_leading_zero_only(value, text):
    assert numbers.bounded(value) == text


# American Psychological Association style: exact to three decimals, never .000 or 1.000.
@pytest.mark.parametrize(
    ("p", "cell", "phrase"),
    [
        (0.013, ".013", "= .013"),
        (0.0004, "< .001", "< .001"),
        (0.001, ".001", "= .001"),
        (0.9996, "> .999", "> .999"),
        (0.05, ".050", "= .050"),
        (NAN, "–", "= –"),
    ],
)
def test_p_values(p, cell, phrase):
    assert (numbers.p_value(p), numbers.p_phrase(p)) == (cell, phrase)


def test_intervals_and_percent():
    assert numbers.interval(-0.1, 1.244) == "[−0.10, 1.24]"
    assert numbers.interval(NAN, NAN) == "–"
    assert numbers.percent(0.0276) == "2.76%"
    assert numbers.percent_interval(0.02, 0.03, 1) == "[2.0%, 3.0%]"
    assert numbers.percent_interval(NAN, NAN) == "–"


def test_counts_mark_thousands_and_few_people_become_a_range():
    assert numbers.count(12345) == "12,345"
    assert numbers.plural(1, "library", "libraries") == "1 library"
    assert numbers.plural(2, "library", "libraries") == "2 libraries"
    assert numbers.plural(2, "plate") == "2 plates"


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.012345, "0.0123"), (123456, "123456"), (-2.3456, "−2.35"), (NAN, "–")]
)
def test_significant(value, text):
    assert numbers.significant(value) == text


@pytest.mark.parametrize(("se", "digits"), [(0.269, 2), (0.0012, 4), (0.02, 3), (15, 2), (NAN, 2), (0, 2), (1e-9, 4)])
def test_digits_show_two_significant_digits_of_the_error(se, digits):
    assert numbers.digits_for(se) == digits


def test_a_verb_agrees_with_the_number_that_is_printed():
    said = {n: numbers.agreeing(n, "was", "were") for n in ("1", "1 of 20", "0 of 20", "11 of 20", "1–4 of 20", "12")}
    assert [n for n, verb in said.items() if verb == "was"] == ["1", "1 of 20"]


def test_words():
    assert [numbers.words(i) for i in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]
