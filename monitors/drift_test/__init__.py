"""Whether a column has drifted: windows' counts against the reference's, false alarms budgeted."""
