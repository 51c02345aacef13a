"""metrics, benchmarks, the acoustic room."""
