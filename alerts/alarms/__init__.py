"""What an alarm is and how it is judged: pure, and the rows that keep it."""
