"""The networks: backbones by name, TransUNet, the heads that turn logits into layers, and the generator."""
