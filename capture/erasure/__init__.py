"""Erasure of rows on request, in every place that stores them."""
