"""Imported relatively by the module that is run."""

EPOCHS = 2
