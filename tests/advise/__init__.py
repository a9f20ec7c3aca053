"""Tests of the layer advise."""
