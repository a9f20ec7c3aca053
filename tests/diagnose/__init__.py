"""Tests of the layer diagnose."""
