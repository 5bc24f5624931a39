"""Training and fine-tuning: plan, trainer, optimizer, checkpoints."""
