"""An app for MONAI Label: docs/monai_label.md."""
