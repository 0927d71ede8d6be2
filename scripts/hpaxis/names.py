"""Names that come with a file, such as those of plates, controls and CpGs: what of them may stand in a table.

A table may be opened in a spreadsheet, which runs what begins with = + - or @ as a formula, and read in a terminal,
which obeys control and direction characters. Names that people give are refused; names that an instrument's file
brings along are made harmless.
"""

import re

NOWHERE = r"\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069<>"
NOT_FIRST = "=+@＝＋－＠-"
# The same pattern as `reader_plate` has in plates.tsv.
NAME = re.compile(f"^[^{NOWHERE}{NOT_FIRST}][^{NOWHERE}]{{0,99}}$")
WHAT = "cannot be a name"
REMEDY = "give up to 100 characters that begin with a letter or a digit"


def is_name(text: object) -> bool:
    """Whether a text may stand in a table as a name."""
    return NAME.match(str(text)) is not None


def harmless(text: object) -> str:
    """Return an instrument's own name with _ for each character that may not stand there, 100 characters at most."""
    text = re.sub(f"[{NOWHERE}]", "_", str(text)[:100])
    return re.sub(f"^[{NOT_FIRST}]", "_", text)
