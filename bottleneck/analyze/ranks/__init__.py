"""Many ranks: each condensed on its own, then compared. Cost is linear in ranks, memory bounded."""
