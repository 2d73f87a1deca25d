"""The kind "outliers": scores single rows, and judges the share of outliers."""
