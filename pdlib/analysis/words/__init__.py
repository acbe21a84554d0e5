"""What drives the mode in the words of a persona: attention, occlusion, gradients, true causes."""
