"""What ``scripts/benchmark.py`` and ``scripts/benchmark_data_sets.py`` measure."""
