"""Experiments: what to compare, for how long, and what the comparison says. Pure."""
