"""Counting: from FASTQ records to methylated and unmethylated molecules."""
