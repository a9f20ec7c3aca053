"""Findings and mitigations in, ranked and priced advice and the verdict out."""
