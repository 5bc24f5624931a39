"""Random weights for PyTorch models, such that a difference in any layer shows."""


def randomise(torch, module):
    """Every weight at random, norms around one; tokens stay near 1, where the GELUs differ."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            fan_in = parameter[0].numel()
            parameter.normal_(0, 1.5 * fan_in**-0.5 if name.endswith("weight") else 0.2)
        for part in module.modules():
            if isinstance(part, torch.nn.LayerNorm):
                part.weight.normal_(1, 0.2)
    return module.eval()
