"""The kind "data-quality": types, completeness, domains, ranges and drift of columns."""
