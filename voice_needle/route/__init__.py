"""words -> calls."""
