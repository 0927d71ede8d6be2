"""Figures of the methylation stage."""
