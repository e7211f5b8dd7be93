"""The site that the benchmarks measure, and what measures it."""
