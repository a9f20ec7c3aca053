"""What a change would do to the step: a recursion for the DataLoader, Amdahl's law for the rest."""
