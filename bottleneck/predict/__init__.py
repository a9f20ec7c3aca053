"""What a change would do to the step: the run replayed with the change in it, Amdahl's law where it can not be."""
