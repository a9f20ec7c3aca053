"""Starts the target with the agent aboard, samples from outside, and leaves a run directory."""
