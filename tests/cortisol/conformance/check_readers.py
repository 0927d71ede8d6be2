"""Compare what hpaxis reads from every absorbance file of allotropy's test data with the values beside each file.

usage: python check_readers.py FOLDER [--list]

FOLDER: a checkout of Benchling-Open-Source/allotropy (MIT), or any folder below which each reader file has the same
name as a JSON file in the Allotrope Simple Model. Nothing of it is committed here. For every reading that the JSON
gives (plate, wavelength, time), there must be a raw reading of hpaxis with the same wells and values, and the wells
without a value must be the same. The exit status is 1 if a value is wrong, or fewer than 95 % of the files are
either right or refused.
"""

import argparse
import json
import math
import sys
from collections import defaultdict
from pathlib import Path

from hpaxis.cortisol.readers import read_reader_file
from hpaxis.problems import InputError

TARGET = 0.95
TOLERANCE = 1e-9  # of a value: both read the same text


def expected(path: Path) -> dict:
    """Return {(plate, wavelength, time): [{well: value or None}, ...]} of the absorbance in an ASM file.

    A list, since a plate may be read at one wavelength more than once.
    """
    found: dict = defaultdict(list)
    content = json.loads(path.read_text(encoding="utf-8"))
    for document in content.get("plate reader aggregate document", {}).get("plate reader document", []):
        for m in document["measurement aggregate document"]["measurement document"]:
            for key, well, value in _measured(m):
                series = found[key]
                place = next((s for s in series if well not in s), None)
                if place is None:
                    place = {}
                    series.append(place)
                place[well] = value
    return dict(found)


def _measured(m):
    plate = m["sample document"].get("well plate identifier")
    well = m["sample document"]["location identifier"]
    control = m["device control aggregate document"]["device control document"][0]
    wavelength = (control.get("detector wavelength setting") or {}).get("value")
    # "Raw Data (450 1)" becomes 1 nm there: no wavelength, so that the name alone does not decide.
    wavelength = wavelength if wavelength is None or wavelength >= 190 else None
    if "absorbance" in m:
        yield (plate, wavelength, None), well, _none_if_marked(m["absorbance"]["value"])
    for name, axis in (("absorption spectrum data cube", "wavelength"), ("absorption profile data cube", "time")):
        if name in m:
            points, values = m[name]["data"]["dimensions"][0], m[name]["data"]["measures"][0]
            for point, value in zip(points, values):
                key = (plate, point, None) if axis == "wavelength" else (plate, wavelength, point)
                yield key, well, _none_if_marked(value)


def _none_if_marked(value):
    """allotropy writes -0.0 where the file has a word instead of a number."""
    return None if value is None or (value == 0 and math.copysign(1, value) < 0) else value


def seconds(time: str) -> float | None:
    """Return a reading's time in seconds, from h:mm:ss or a number of seconds."""
    if not time:
        return None
    try:
        parts = [float(p) for p in time.removesuffix("s").strip().split(":")]
    except ValueError:
        return None
    return sum(p * 60**i for i, p in enumerate(reversed(parts)))


def compare(wanted: dict, reads: list) -> list[str]:
    """Return what is wrong, in words; empty when every reading is there with all its values."""
    faults = []
    raw = [r for r in reads if not r.derived]
    for (plate, wavelength, time), series in wanted.items():
        for number, values in enumerate(series):
            if not any(v is not None for v in values.values()):
                continue  # an export of computed values only
            same = [r for r in raw if _matches(r, raw, plate, wavelength, time)]
            if len(same) <= number:
                faults.append(f"no reading of plate {plate} at {wavelength} nm, time {time} (number {number + 1})")
                continue
            best = min((_differences(values, r) for r in same), key=len)
            faults += best[:3]
    return faults


def _matches(read, raw, plate, wavelength, time):
    names = {name for r in raw for name in r.plates}
    if plate in names and plate not in read.plates:
        return False
    waves = [part.strip() for part in read.wavelength.replace(",", "-").split("-") if part.strip()]
    if wavelength is not None and waves and f"{wavelength:g}" not in waves:
        return False
    return time is None or seconds(read.time) == time


def _differences(values, read):
    found = dict(zip(read.wells["well"], read.wells["value"]))
    faults = [
        f"{read.reading}: {well} is {value}, and is not there"
        for well, value in found.items()
        if well not in values and not math.isnan(value)
    ]
    for well, value in values.items():
        here = found.get(well, math.nan)
        if value is None and not math.isnan(here):
            faults.append(f"{read.reading}: {well} is {here}, but has no value there")
        elif value is not None and not abs(here - value) <= TOLERANCE * max(1, abs(value)):
            faults.append(f"{read.reading}: {well} is {here}, not {value}")
    return faults


def main() -> int:
    """Compare every file; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--list", action="store_true", help="print one line for every file, not only for faults")
    arguments = parser.parse_args()
    counts: dict = defaultdict(int)
    for path in sorted(arguments.folder.rglob("*.json")):
        if path.parent.name == "errors" or not (content := _expected_or_none(path)):
            continue
        source = next(
            (p for p in sorted(path.parent.rglob(f"{path.stem}.*")) if p.suffix.lower() in (".txt", ".csv", ".xlsx")),
            None,
        )
        if source is None:
            continue
        outcome, detail = _look(source, content)
        counts[outcome] += 1
        if arguments.list or outcome != "right":
            print(f"{outcome:8} {source.relative_to(arguments.folder)}" + (f"\n         {detail}" if detail else ""))
    total = sum(counts.values())
    print(f"{total} absorbance files: " + ", ".join(f"{n} {name}" for name, n in sorted(counts.items())))
    good = counts["right"] + counts["refused"]
    return 0 if total and not counts["wrong"] and good >= TARGET * total else 1


def _expected_or_none(path):
    try:
        return expected(path)
    except (KeyError, IndexError, json.JSONDecodeError):
        return None


def _look(source, content):
    try:
        reads = read_reader_file(source)
    except InputError as error:
        return "refused", str(error.problems[0])
    faults = compare(content, reads)
    return ("wrong", "; ".join(faults[:3])) if faults else ("right", "")


if __name__ == "__main__":
    sys.exit(main())
