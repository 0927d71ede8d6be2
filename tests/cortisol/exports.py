"""Exports as each reader's software writes them, made by hand for tests from a table of optical densities."""

import struct

import openpyxl

ROWS = "ABCDEFGH"


def signals(start=0.1, step=0.011):
    """A plate whose every well has its own optical density: A1 0.1, A2 0.111, ... along the rows."""
    return {f"{row}{c}": round(start + step * (12 * r + c - 1), 3) for r, row in enumerate(ROWS) for c in range(1, 13)}


def grid_lines(values, separator=",", decimal=".", corner="", label=""):
    lines = [separator.join([corner, *map(str, range(1, 13))])]
    for row in ROWS:
        cells = [str(values.get(f"{row}{c}", "")).replace(".", decimal) for c in range(1, 13)]
        lines.append(separator.join([row, *cells, *([label] if label else [])]))
    return lines


def gen5(values, plate="Plate 1", label="450", layout=None, decimal="."):
    lines = ["", "Software Version\t3.12.08", "", f"Plate Number\t{plate}", "Date\t1/2/2024", ""]
    if layout:
        lines += ["Layout", *grid_lines(layout, "\t", label="Well ID"), ""]
    return "\r\n".join([*lines, "Results", *grid_lines(values, "\t", decimal, label=label), ""])


def gen5_kinetic(series, plate="Plate 1"):
    wells = [f"{row}{c}" for row in ROWS for c in range(1, 13)]
    lines = ["", "Software Version\t3.12.08", "", f"Plate Number\t{plate}", "", "Read 1:450", ""]
    lines.append("\t".join(["Time", "T° Read 1:450", *wells]))
    for time, values in series.items():
        lines.append("\t".join([time, "37.0", *(str(values[w]) for w in wells)]))
    return "\r\n".join([*lines, "", "Results", ""])


def softmax(plates, form="PlateFormat", wavelengths=("450",), kinetic=(), group=None):
    """``plates``: name -> list (one a time) of lists (one a wavelength) of values."""
    lines = [f"##BLOCKS= {len(plates)}"]
    for name, times in plates.items():
        kind = "Kinetic" if kinetic else "Endpoint"
        head = ["Plate:", name, "1.3", form, kind, "Absorbance", "Raw", "FALSE", str(len(times)), "", "", "", "", ""]
        head += [str(len(wavelengths)), " ".join(wavelengths) + " ", "1", "12", "96", "1", "8"]
        lines.append("\t".join(head))
        if form == "TimeFormat":
            wells = [f"{row}{c}" for row in ROWS for c in range(1, 13)]
            lines.append("\t".join(["", "Temperature(¡C)", *[w for _ in wavelengths for w in [*wells, ""]]]))
            for k, reads in enumerate(times):
                time = kinetic[k] if kinetic else ""
                lines.append("\t".join([time, "24.0", *[str(v[w]) if w else "" for v in reads for w in [*wells, ""]]]))
        else:
            columns = [*map(str, range(1, 13)), ""]
            lines.append("\t".join(["", "Temperature(¡C)", *(columns * len(wavelengths))]))
            for k, reads in enumerate(times):
                for i, row in enumerate(ROWS):
                    head = [kinetic[k] if kinetic and i == 0 else "", "24.0" if i == 0 else ""]
                    lines.append(
                        "\t".join(
                            [
                                *head,
                                *[str(v.get(f"{row}{c}", "")) if c else "" for v in reads for c in [*range(1, 13), 0]],
                            ]
                        )
                    )
                lines.append("")
        lines.append("~End")
    if group:
        lines += ["Group: Standards", "Sample\tConcentration\tWells\tValues"]
        lines += [f"{i + 1}\t{c}\t{w}\t0.1" for i, (w, c) in enumerate(group)]
        lines += ["", "~End"]
    return "\r\n".join([*lines, "Original Filename: test; Date Last Saved: 1/2/2024", ""])


def mars(blocks, plate="Plate 7", separator=",", decimal="."):
    """``blocks``: title -> values."""
    lines = [f"User: USER{separator}Path: C:\\Data{separator}Test run no.: 12",
             f"Test name: ELISA{separator}Date: 1/2/2024", "",
             f"ID1: {plate}{separator}ID2: {separator}ID3: ", "Absorbance", ""]  # fmt: skip
    for title, values in blocks.items():
        lines += [title, "", *grid_lines(values, separator, decimal), ""]
    return "\r\n".join(lines)


def mars_table(columns, times=None):
    """``columns``: list of (title, values); an empty line after every line, as some versions write."""
    lines = ["User: USER,Path: C:\\Data,Test run no.: 12", "Test name: ELISA", "Absorbance", ""]
    lines.append(",".join(["Well Row", "Well Col", "Content", *(title for title, _ in columns)]))
    if times:
        lines.append(",".join(["", "", "Time", *times]))
    for row in ROWS:
        for c in range(1, 13):
            lines.append(",".join([row, str(c), "Sample X1", *(str(v[f"{row}{c}"]) for _, v in columns)]))
    return "\n\n".join(lines)


def workbook(path, sheets):
    """``sheets``: name -> rows of cells."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def grid_rows(values, corner=None):
    rows = [[corner, *range(1, 13)]]
    return [*rows, *([row, *(values.get(f"{row}{c}") for c in range(1, 13))] for row in ROWS)]


def magellan_rows(values, about=("450nm",), plates=1):
    rows = [["Raw data", "Well positions", "Plate"]]
    for _ in range(plates):
        for c in range(1, 13):
            rows += [[values[f"{row}{c}"], f"{row}{c}", "96WEL008"] for row in ROWS]
    return [*rows, *([text] for text in about)]


def old_workbook(path, sheets):
    """Write an XLS file (BIFF8 in a compound file) by hand: ``sheets``: name -> rows of numbers and texts."""

    def record(kind, data=b""):
        return struct.pack("<HH", kind, len(data)) + data

    def text(value):
        return struct.pack("<HB", len(value), 0) + value.encode("latin-1")

    bodies = []
    for rows in sheets.values():
        body = record(0x809, struct.pack("<HHHHII", 0x600, 0x10, 0, 0, 0, 0))
        body += record(0x200, struct.pack("<IIHHH", 0, len(rows), 0, max(len(r) for r in rows), 0))
        for i, row in enumerate(rows):
            for j, cell in enumerate(row):
                if isinstance(cell, str):
                    body += record(0x204, struct.pack("<HHH", i, j, 0) + text(cell))
                elif cell is not None:
                    body += record(0x203, struct.pack("<HHHd", i, j, 0, float(cell)))
        bodies.append(body + record(0x0A))
    head = record(0x809, struct.pack("<HHHHII", 0x600, 0x05, 0, 0, 0, 0))
    names = [struct.pack("<HBB", 0, len(n), 0) + n.encode("latin-1") for n in sheets]
    at = len(head) + sum(4 + 4 + len(n) for n in names) + 4
    for name, body in zip(names, bodies):
        head += record(0x85, struct.pack("<I", at) + name)
        at += len(body)
    stream = head + record(0x0A) + b"".join(bodies)
    stream += b"\0" * (max(4096, -(-len(stream) // 512) * 512) - len(stream))
    sectors = len(stream) // 512
    fat = [0xFFFFFFFD, 0xFFFFFFFE, *range(3, sectors + 2), 0xFFFFFFFE]
    fat += [0xFFFFFFFF] * (128 - len(fat))

    def entry(name, kind, child, start, size):
        label = name.encode("utf-16-le") + b"\0\0"
        head = label.ljust(64, b"\0") + struct.pack("<HBBIII", len(label), kind, 1, 0xFFFFFFFF, 0xFFFFFFFF, child)
        return head + b"\0" * 36 + struct.pack("<IQ", start, size)

    directory = entry("Root Entry", 5, 1, 0xFFFFFFFE, 0) + entry("Workbook", 2, 0xFFFFFFFF, 2, len(stream))
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 16 + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6) + b"\0" * 6
    header += (
        struct.pack("<IIIIIIIIII", 0, 1, 1, 0, 4096, 0xFFFFFFFE, 0, 0xFFFFFFFE, 0, 0)
        + struct.pack("<I", 0xFFFFFFFF) * 108
    )
    data = header + struct.pack("<128I", *fat) + directory.ljust(512, b"\0") + stream
    path.write_bytes(data)
    return path
