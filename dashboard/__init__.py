"""The dashboard: pages that show what happened, why, and which rows contributed."""
