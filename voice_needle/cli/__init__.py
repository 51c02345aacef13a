"""one module a command group."""
