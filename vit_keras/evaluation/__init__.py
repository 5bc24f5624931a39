"""The parts of an evaluation, a room each: from logits to scores, and from scores to one page."""
