"""Two data sets and a schedule: windows judged against baselines."""
