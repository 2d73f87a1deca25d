"""Figures as plain plotly dicts; pure, and every number comes from what the queries returned."""
