"""Small programs over `bundle`, and the app for MONAI Label."""
