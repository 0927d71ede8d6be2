"""Run one command of the samtools that pysam bundles; lift mpileup's depth limit, which cuts in silence at 8,000."""

import sys

import pysam


def main(command, *arguments):
    """Run ``command``, with its output on this process's standard output."""
    if command == "mpileup":
        pysam.mpileup("-d", "0", "-o", "/dev/stdout", *arguments, catch_stdout=False)
    else:
        sys.stdout.write(getattr(pysam, command)(*arguments))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except pysam.SamtoolsError as error:
        sys.exit(str(error))
