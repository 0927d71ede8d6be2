"""Panels: the reference, its primers, CpGs and variants, and what checks them."""
