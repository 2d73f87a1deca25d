"""Whether days differ from what hour, weekday and season lead to expect: columns that vary."""
