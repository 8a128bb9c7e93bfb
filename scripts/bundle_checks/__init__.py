"""Checks of a bundle like those of the MONAI model zoo; ``scripts/verify_bundle.py`` runs them."""
