import pytest

from hpaxis import schemas
from hpaxis.names import NAME, harmless, is_name

HOSTILE = ("=1+1", "+x", "-x", "@SUM(1)", "＝1", "\tx", "a\x00b", "\x1b[2J", "\u202egpj", "00\u200b1", "<b>", "x" * 101)


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_spreadsheet_or_a_terminal_would_obey_is_no_name(text):
    assert not is_name(text)
    assert is_name(harmless(text))


@pytest.mark.parametrize("text", ["P01", "450-650", "Raw Data (450)", "QC low", "Kontrolle 1 µg/dL", "#3", "_x"])
def test_ordinary_names_stay_as_they_are(text):
    assert is_name(text)
    assert harmless(text) == text


def test_sheets_and_files_are_held_to_the_same_form():
    plates = schemas.load("sheets/plates")["properties"]
    assert {plates[column]["pattern"] for column in ("reader_plate", "reading")} == {NAME.pattern}
