"""Graphs for Attar."""
