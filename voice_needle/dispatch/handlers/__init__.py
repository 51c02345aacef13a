"""The ways a tool can be carried out: one module each for python, command, http, mqtt and mcp."""
