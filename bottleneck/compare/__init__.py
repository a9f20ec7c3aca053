"""Runs beside runs: what became faster, how sure that is, and what else differs. Pure."""
