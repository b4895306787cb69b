"""Fits one fold: classical systems, networks and late fusions."""
