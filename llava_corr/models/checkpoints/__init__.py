"""Weights on disk: our own model folders, and what others released (one file per foreign format)."""
