"""Assays: whatever else a library may come as, and its way to the same tables."""
