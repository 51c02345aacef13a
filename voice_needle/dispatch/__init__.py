"""calls -> results."""
