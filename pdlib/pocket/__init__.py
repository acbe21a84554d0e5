"""The pocket world: a small world of questions and askers, with its expert and its backbones."""
