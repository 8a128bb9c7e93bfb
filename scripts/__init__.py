"""Command-line programs around `bundle`, and the app for MONAI Label."""
