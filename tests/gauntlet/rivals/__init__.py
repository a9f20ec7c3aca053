"""What else could have been asked: a look at the chart, a profiler's table, another tool. Run on the same cases."""
