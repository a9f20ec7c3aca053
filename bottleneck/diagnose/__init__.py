"""Measurements and bottleneck rules in, findings out; this layer opens no file and reads no clock."""
