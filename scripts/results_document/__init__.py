"""The document of results, ``docs/results.md``, which ``scripts/write_results.py`` writes."""
