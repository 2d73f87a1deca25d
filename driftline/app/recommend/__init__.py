"""Finds how a model is served best, by load on real servers, and which form of inference fits."""
