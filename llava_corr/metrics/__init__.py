"""Scores as pure functions on arrays and strings; importing this room loads neither torch nor transformers."""
