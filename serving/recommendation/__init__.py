"""Jobs that measure how a model is served best; driftline.app.recommend does the work."""
