"""hpaxis on published data: what was published, what hpaxis gives, and why they differ.

Usage: python benchmarks/published DATA [--out build/published.md]

Sets that are not in DATA are named and skipped. ``--out docs/published.md`` writes the page of the documentation.
"""

import argparse
from pathlib import Path

import bock
import printed
import reads
import standards
import washb

from hpaxis.tables import whole_file

SECTIONS = (washb, bock, reads, standards, printed)
HEAD = """# hpaxis on published data

Written by `make published DATA=folder OUT=docs/published.md`; do not edit. For each set: what was published,
what hpaxis gives, and why they differ. None of the data is in this repository; each section says where it is to be
had. The target runs what it finds in the folder and says what it does not find.
"""


def main() -> None:
    """Run what is there and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("build/published.md"))
    arguments = parser.parse_args()
    texts = [HEAD]
    for module in SECTIONS:
        for section in getattr(module, "sections", lambda folder, m=module: [m.section(folder)])(arguments.data):
            print(f"{section.title}: {'not in the folder' if section.missing else 'done'}", flush=True)
            texts.append(section.text())
    with whole_file(arguments.out) as part:
        part.write_text("\n".join(texts).rstrip() + "\n", encoding="utf-8")
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
