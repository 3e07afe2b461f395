"""Transfers between real processes in which something goes wrong at a chosen moment, and what is left of the files afterwards."""
