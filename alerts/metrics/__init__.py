"""Numbers over time: datapoints in, statistics over periods out."""
