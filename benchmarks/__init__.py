"""Measurements; each module prints one table, as Markdown, with the machine it was measured on."""
