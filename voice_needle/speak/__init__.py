"""results -> sound."""
