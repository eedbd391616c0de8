"""Collected only where Triton interprets (see the conftest above)."""
