"""Rows that are asked to be forgotten, wherever they lie."""
