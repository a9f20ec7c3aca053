"""Tests of the layer predict."""
